"""Run by one or two processes: the gradient of a contrast over all of them, for its own rows."""

import torch

from reid_gen.losses.groups import GroupedFeatures, group_nce
from reid_gen.runtime.devices import Runtime

if __name__ == "__main__":
    torch.manual_seed(0)
    runtime = Runtime("fp32")
    share = slice(runtime.rank, None, runtime.processes)
    whole = torch.nn.functional.normalize(torch.randn(8, 4), dim=1)
    own = whole[share].clone().requires_grad_()
    group, image = torch.arange(8)[share] // 4, torch.arange(8)[share]
    every = GroupedFeatures(
        runtime.all_gather_with_grad(own), runtime.gather(group), runtime.gather(image)
    )
    loss = group_nce(GroupedFeatures(own, group, image), every, temperature=0.1)
    loss.backward()
    gradient = torch.zeros(8, 4)
    gradient[share] = own.grad / runtime.processes
    total = runtime.sum(gradient)
    print("weights", *(f"{float(value):.6f}" for value in total.flatten()))
    if torch.distributed.is_initialized():  # threads that are left behind could end the process
        torch.distributed.destroy_process_group()
