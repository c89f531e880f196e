"""No training step has an operation for which the host must wait for the device."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from reid_gen.memory.bank import MemoryBank
from reid_gen.runtime.devices import Runtime
from reid_gen.training.contrastive_terms import PAIR_TERMS, ContrastTerms, Pairs
from reid_gen.training.step import (
    DISCRIMINATOR,
    GENERATOR,
    IDENTITY,
    Batch,
    TrainableNetwork,
    TrainingStep,
)
from tests.generators.scenes import (
    GAN_WEIGHTS,
    HEIGHT,
    WIDTH,
    make_batch,
    make_diffusion,
    make_encoder,
    make_gan,
    make_images,
    make_step,
    make_trainable,
)

aten = torch.ops.aten
WAITING = (
    aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.unique_consecutive,
    aten.unique_dim, aten._unique2, aten.bincount, aten.equal, aten.is_nonzero,
)  # fmt: skip
"""Operations whose result, or its shape, the host must know before it continues."""
LABELS = [0, 0, 1, 1, -1, 2, 2, 2]


class RefuseWaiting(TorchDispatchMode):
    """Raises an error at an operation that makes the host wait for the device."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        masks = args[1] if operation.overloadpacket in (aten.index, aten.index_put) else ()
        is_mask = any(index is not None and index.dtype == torch.bool for index in masks)
        repeats = operation is aten.repeat_interleave.Tensor
        if operation.overloadpacket in WAITING or is_mask or repeats:
            raise AssertionError(f"the host waits for the device at {operation}")
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "waits",
    [float, bool, torch.nonzero, lambda x: x[x > 0], torch.unique, lambda x: x.long().bincount()],
)
def test_refuse_waiting_finds_operations_that_wait(waits):
    with pytest.raises(AssertionError, match="the host waits"), RefuseWaiting():
        waits(torch.ones(1))


def test_baseline_step_never_waits():
    encoder = make_encoder().train()
    weights = dict.fromkeys(
        ("prototype", "hard_prototype", "instance", "camera_proxy", "weak_view"), 1.0
    )
    camids = torch.tensor([0, 1, 0, 1, 0, 1, 2, 2])
    features = F.normalize(torch.randn(8, encoder.feature_size), dim=1)
    bank = MemoryBank(features, torch.tensor(LABELS), 0.2, 0.1, camids=camids)
    identity = make_trainable(encoder, make_gan(encoder, make_images(2)))[IDENTITY]
    contrast = ContrastTerms(bank, 0.1, weights, Pairs())
    step = TrainingStep(encoder, {IDENTITY: identity}, None, contrast, weights, Runtime("fp32"))
    images = torch.rand(2, 8, 3, HEIGHT, WIDTH)
    rows = np.array([0, 1, 1, 4, 3, 5, 6, 6])
    batch = Batch(images[0], torch.from_numpy(rows), rows, weak=images[1])
    with RefuseWaiting():
        losses = step(batch, 0)
    assert set(losses) == set(weights)


def test_gan_joint_step_never_waits():
    images = make_images(8)
    encoder = make_encoder()
    weights = dict.fromkeys(("prototype", "view_prototype", *PAIR_TERMS), 1.0)
    names = (IDENTITY, GENERATOR, DISCRIMINATOR)
    gan = make_gan(encoder, images)
    step = make_step(encoder, gan, names, LABELS, weights, Pairs(negatives=3))
    with RefuseWaiting():
        losses = step(make_batch(images), 0)
    assert {*weights, *GAN_WEIGHTS} == set(losses)


def test_diffusion_step_never_waits():
    images = make_images(8)
    encoder = make_encoder().eval()
    diffusion = make_diffusion(encoder, images)
    adam = torch.optim.Adam(diffusion.networks.parameters(), fused=True)
    trainable = {GENERATOR: TrainableNetwork(diffusion.networks, adam)}
    runtime = Runtime("fp32", "fp32")
    step = TrainingStep(encoder, trainable, diffusion, None, {"noise": 1.0}, runtime)
    step(make_batch(images), 0)  # the average reads its number of updates once
    with RefuseWaiting():
        losses = step(make_batch(images), 0)
    assert set(losses) == {"noise"}
