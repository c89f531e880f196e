"""What two processes and one compute on the same batches; as a program, it starts the two."""

import hashlib
import multiprocessing
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from reid_gen.cli.main import main
from reid_gen.errors import UserError
from reid_gen.generators.pixel_diffusion import generator as diffusion
from reid_gen.losses.groups import GroupedFeatures, group_nce
from reid_gen.runtime import devices
from reid_gen.runtime.devices import Runtime
from reid_gen.training.run import _networks
from reid_gen.training.stages import EpochPosition
from tests.training.small import experiment

FIXED = ("encoder.backbone=resnet10t", "encoder.ghost_batch=8", "augment.flip=0.0",
         "augment.pad=0", "augment.erase=0.0")  # fmt: skip
"""No random augmentation, and ghost batches of the half of the batch that one of two gets."""
ALL_VIEWS = ("generator.min_score=0", "generator.batch=16", "generator.precision=fp32",
             "stages.2.iterations=1")  # fmt: skip
DIFFUSION = {
    "kind": "pixel_diffusion",
    "widths": [16, 32],
    "cross_attention_dim": 16,
    "heads": 2,
    "batch": 16,
    "min_score": 0,
    "precision": "fp32",
}
SHAPES = (3, 4), (5,), (2, 3, 2)


class InOrder:
    """Random generator that keeps the order of the images and turns all bodies by 90 degrees."""

    permutation = staticmethod(np.asarray)

    def uniform(self, low, high, count):
        return np.full(count, 90.0)


class WholeBatch:
    """torch, but random numbers are drawn for the whole batch, and each process takes its own."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.rng = torch.Generator().manual_seed(0)

    def __getattr__(self, name):
        return getattr(torch, name)

    def _own(self, draw, shape, axis=0):
        whole = list(shape)
        whole[axis] *= self.runtime.processes
        drawn = draw(whole, generator=self.rng)
        return drawn.chunk(self.runtime.processes, axis)[self.runtime.rank]

    def randint(self, low, high, shape):
        return self._own(lambda *a, **k: torch.randint(low, high, *a, **k), shape)

    def randn(self, shape):
        return self._own(torch.randn, shape)

    def rand(self, *shape):
        return self._own(torch.rand, shape, axis=1)


def train_epoch(config, stage, *overrides, max_views=None):
    """Train an epoch.

    Returns gradients of the first step, losses, and a digest of weights and bank.
    """
    built, _ = experiment(config, *FIXED, *overrides)
    trainer = built.trainer
    if trainer.generator is not None:
        make_conditions = trainer.generator.make_conditions
        trainer.generator.make_conditions = lambda images, pixels, rng: make_conditions(
            images, pixels, InOrder()
        )
        trainer.generator.map_renderer.max_sources = max_views
    for network in _networks(built).values():
        make_smooth(network)
    gradients = {}
    for name, entry in {**trainer.identity, **trainer.trainable}.items():
        record = record_gradients(name, gradients)
        entry.optimizer.register_step_pre_hook(record)
    epoch = trainer.epoch(EpochPosition(trainer.stages[stage], 0, stage))
    state = [value for n in _networks(built).values() for value in n.state_dict().values()]
    tensors = [value for value in state if value.is_floating_point()]
    if epoch.bank is not None:
        tensors += [epoch.bank.features, epoch.bank.prototypes, epoch.bank.labels]
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    losses = {name: value for name, value in epoch.record.items() if name.startswith("loss_")}
    return {"gradients": gradients, "losses": losses, "digest": digest.hexdigest()}


def make_smooth(network):
    """Replace ReLU by SiLU: rounding switches a unit at ReLU's kink, and with it its gradient."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.LeakyReLU):
                setattr(module, name, nn.SiLU())


def record_gradients(name, gradients):
    def record(optimizer, *_):
        parameters = [value for group in optimizer.param_groups for value in group["params"]]
        present = [value.grad.flatten() for value in parameters if value.grad is not None]
        gradients.setdefault(name, torch.cat(present).clone())

    return record


def train_diffusion(config, bodies):
    settings = str({**DIFFUSION, "bodies": str(bodies)}).replace("'", '"')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion, "torch", WholeBatch(Runtime()))
        return train_epoch(config, 1, f"generator={settings}", "stages.1.iterations=1")


def gather_gradient(runtime):
    """Gradient of a loss over the rows of all processes, [8, 4]."""
    shard = slice(runtime.rank, None, runtime.processes)
    rng = torch.Generator().manual_seed(0)
    all_features = nn.functional.normalize(torch.randn(8, 4, generator=rng), dim=1)
    features = all_features[shard].clone().requires_grad_()
    group, image = torch.arange(8)[shard] // 4, torch.arange(8)[shard]
    candidates = GroupedFeatures(
        runtime.all_gather_with_grad(features), runtime.gather(group), runtime.gather(image)
    )
    loss = group_nce(GroupedFeatures(features, group, image), candidates, temperature=0.1)
    loss.backward()
    gradient = torch.zeros(8, 4)
    gradient[shard] = features.grad / runtime.processes
    return runtime.sum(gradient)


def average_gradients(runtime, bucket_bytes):
    """Average gradients of 1 on rank 0 and 2 on rank 1; 1 misses the second, both the last."""
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in (*SHAPES, (4,))]
    for parameter in parameters[:3]:
        parameter.grad = torch.full_like(parameter, 1.0 + runtime.rank)
    if runtime.rank == 1:
        parameters[1].grad = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "BUCKET_BYTES", bucket_bytes)
        runtime.average_gradients(parameters)
    return [parameter.grad for parameter in parameters]


def average_statistics(runtime):
    layers = [nn.BatchNorm1d(2), nn.BatchNorm1d(3)]
    for layer in layers:
        layer.running_mean += 1 + 2 * runtime.rank
        layer.num_batches_tracked += 5
    runtime.average_statistics(layers)
    return [(layer.running_mean.tolist(), int(layer.num_batches_tracked)) for layer in layers]


def message(function):
    """Type and text of the error that a function raises."""
    try:
        function()
    except UserError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def fail_on(runtime, rank):
    with runtime.together():
        if runtime.rank == rank:
            raise UserError(f"disk of rank {rank} is full")


def compare(folder):
    """Compute what one process and two must agree on."""
    joint = folder / "joint" / "joint.yaml"
    return {
        "baseline": train_epoch(folder / "tiny.yaml", 0, "stages.0.iterations=2"),
        "joint": train_epoch(joint, 2, *ALL_VIEWS),
        "diffusion": train_diffusion(joint, folder / "joint" / "bodies"),
        "gather": gather_gradient(Runtime()),
    }


def two_processes(folder):
    """Compute what only several processes do; afterwards rank 1 ends, and rank 0 waits for it."""
    runtime = Runtime()
    results = {
        "views in one": train_epoch(
            folder / "joint" / "joint.yaml", 2, *ALL_VIEWS, max_views=1 if runtime.rank else 8
        ),
        "gradients": [average_gradients(runtime, size) for size in (1, 60, 2**20)],
        "statistics": average_statistics(runtime),
        "errors": [message(partial(fail_on, runtime, rank)) for rank in range(2)],
        "on main": runtime.on_main(lambda: f"of rank {runtime.rank}"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runtime, "close", lambda self: None)
        words = ("stages.0.epochs=1", "stages.0.iterations=1", "name=command")
        settings = [word for setting in words for word in ("--set", setting)]
        main(["train", "--config", str(folder / "tiny.yaml"), *settings])
    if runtime.rank == 0:
        results["lost"] = message(lambda: runtime.sum(torch.ones(1)))
    return results


def run_rank(rank, port, folder):
    """Be one of two processes; writes results and everything that is printed to ``folder``."""
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.save(compare(folder), folder / f"rank{rank}.pt")
    with (folder / f"rank{rank}.txt").open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.save(two_processes(folder), folder / f"two{rank}.pt")


if __name__ == "__main__":
    # Forks of one process import torch once.
    fork = multiprocessing.get_context("fork")
    arguments = int(sys.argv[1]), Path(sys.argv[2])
    ranks = [fork.Process(target=run_rank, args=(rank, *arguments)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    sys.exit(max(process.exitcode for process in ranks))
