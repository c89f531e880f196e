"""Program of each of two processes: trains an epoch on its half of every batch.

Prints a digest of the memory bank and the sum of each weight.
"""

import hashlib
import sys
from pathlib import Path

import torch

from reid_gen.training.run import _networks
from reid_gen.training.stages import EpochPosition
from tests.training.small import experiment

if __name__ == "__main__":
    torch.set_num_threads(1)
    built, _ = experiment(
        Path(sys.argv[1]),
        *("encoder.ghost_batch=8", "stages.0.iterations=3"),
        *("augment.flip=0.0", "augment.pad=0", "augment.erase=0.0"),
    )
    stage = int(sys.argv[2])
    epoch = built.trainer.epoch(EpochPosition(built.trainer.stages[stage], 0, stage))
    state = {
        f"{name}.{key}": value
        for name, network in _networks(built).items()
        for key, value in network.state_dict().items()
    }
    digest = hashlib.sha256()
    for tensor in (epoch.bank.features, epoch.bank.prototypes, epoch.bank.labels):
        digest.update(tensor.numpy().tobytes())
    print("bank", digest.hexdigest())
    print(
        "weights",
        *(
            f"{float(value.double().abs().sum()):.4f}"
            for value in state.values()
            if value.is_floating_point()
        ),
    )
    if torch.distributed.is_initialized():  # remaining threads could abort the process at exit
        torch.distributed.destroy_process_group()
