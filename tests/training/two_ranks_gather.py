"""Program of each of one or two processes: gradient of a loss over the rows of all processes."""

import torch

from reid_gen.losses.groups import GroupedFeatures, group_nce
from reid_gen.runtime.devices import Runtime

if __name__ == "__main__":
    torch.manual_seed(0)
    runtime = Runtime("fp32")
    shard = slice(runtime.rank, None, runtime.processes)
    all_features = torch.nn.functional.normalize(torch.randn(8, 4), dim=1)
    features = all_features[shard].clone().requires_grad_()
    group, image = torch.arange(8)[shard] // 4, torch.arange(8)[shard]
    candidates = GroupedFeatures(
        runtime.all_gather_with_grad(features), runtime.gather(group), runtime.gather(image)
    )
    loss = group_nce(GroupedFeatures(features, group, image), candidates, temperature=0.1)
    loss.backward()
    gradient = torch.zeros(8, 4)
    gradient[shard] = features.grad / runtime.processes
    total = runtime.sum(gradient)
    print("weights", *(f"{float(value):.6f}" for value in total.flatten()))
    if torch.distributed.is_initialized():  # remaining threads could abort the process at exit
        torch.distributed.destroy_process_group()
