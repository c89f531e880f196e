"""The whole step against a slow twin: which picture, by whose features, in which term."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from reid_gen.models.ema_encoder import EmaEncoder
from reid_gen.training import contrastive_terms as contrast
from reid_gen.training.contrastive_terms import Pairs
from reid_gen.training.step import DISCRIMINATOR, GENERATOR, IDENTITY
from tests.generators.scenes import make_batch, make_encoder, make_gan, make_images, make_step
from tests.reference import gcl

LABELS = [0, 0, 1, 1, -1]
MATES, MATES_OF_VIEW = [1, 1, 2], [0, 1, 3]
WEIGHTS = {
    "image": 5.0, "cycle": 3.0, "feature": 2.0, "adversarial": 0.7, "fake": 1.1, "real": 0.9,
    "penalty": 0.01, "view_instance": 1.3, "view_cluster": 1.7, "real_cluster": 0.6,
}  # fmt: skip
RATE = 1e-2


@pytest.fixture(autouse=True)
def in_float64(monkeypatch):
    """Also where networks are left for float32."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def scene():
    """An encoder, and a batch of small pictures whose bodies fill a part of their maps."""
    torch.manual_seed(0)
    images = make_images(3)
    batch = make_batch(images)
    small = batch.images[:, :, :32, :16]
    pictures = {name: maps[:, :, :32, :16] for name, maps in batch.sources.conditions.items()}
    pictures["unturned"][:, :, :, :6] = -1
    pictures["turned"][:, :, :20] = -1
    sources = replace(batch.sources, images=small, conditions=pictures)
    return make_encoder(), images, replace(batch, images=small, sources=sources)


def both(scene, names, monkeypatch, *, pairs=None, mean=None, release=False, **options):
    """Terms and networks after a step of ours and after one of the twin."""
    encoder, images, batch = scene
    gan = make_gan(encoder, images, penalty_every=2, feature_of_view=not release, **options)
    with torch.no_grad():  # fresh weights are so small that nothing would depend on D
        for parameter in gan.discriminator.parameters():
            parameter.mul_(10)
    step = make_step(encoder, gan, names, LABELS, WEIGHTS, pairs, RATE)
    step.real_statistics = not release
    step.ema_encoder = None if mean is None else EmaEncoder(encoder, mean)
    parts = {"identity": encoder, "structure": gan.painter.structure}
    parts |= {"decoder": gan.painter.decoder, "judge": gan.discriminator}
    bank = None if step.contrast is None else step.contrast.bank
    slow = gcl.Step(
        **deepcopy(parts),
        memory=torch.zeros(5, 1) if bank is None else bank.features.clone(),
        labels=LABELS,
        weights=WEIGHTS,
        rate=RATE,
        slow=deepcopy(step.ema_encoder.encoder) if step.ema_encoder else None,
        ties_view=not release,
        positive_from_batch=not release,
        own_negatives=not release,
        statistics=release,
        body_weight=options.get("body_weight", 1.0),
        penalty_every=2,
    )
    mates = iter(torch.tensor([MATES, MATES_OF_VIEW]))
    monkeypatch.setattr(contrast, "draw_mates", lambda positive: next(mates))
    before = deepcopy(parts)
    found = step(batch, 0)
    assert min(found.values()) > 1e-3
    maps = batch.sources.conditions
    wanted = slow(
        batch.images,
        maps["unturned"],
        maps["turned"],
        MATES,
        MATES_OF_VIEW,
        -1.0,
        IDENTITY in names,
    )
    assert found == pytest.approx({k: v.item() for k, v in wanted.items()}, rel=1e-9, abs=0)
    for name, network in parts.items():
        states = (some.state_dict() for some in (network, getattr(slow, name), before[name]))
        compare(name, *states)
    if bank is not None:
        torch.testing.assert_close(bank.features, slow.memory, rtol=1e-9, atol=1e-12)
    return step, before


def compare(name, found, wanted, before):
    """A network after ours and after the twin's step; their difference to before is the slope."""
    for key, value in found.items():
        if value.is_floating_point():
            slopes = (value - before[key], wanted[key] - before[key])
            torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-12, msg=f"{name}.{key}")


JOINT = {IDENTITY, GENERATOR, DISCRIMINATOR}


def test_gcl_joint_step_equals_its_slow_twin(scene, monkeypatch):
    both(scene, JOINT, monkeypatch, body_weight=4.0)


def test_gcl_joint_step_as_released_equals_its_slow_twin(scene, monkeypatch):
    pairs = Pairs(positive_from_batch=False, own_negatives=False)
    both(scene, JOINT, monkeypatch, pairs=pairs, release=True)


def test_gcl_warm_up_step_equals_its_slow_twin(scene, monkeypatch):
    _, before = both(scene, JOINT - {IDENTITY}, monkeypatch)
    after, earlier = scene[0].state_dict(), before["identity"].state_dict()
    assert all(torch.equal(after[key], earlier[key]) for key in after)


def test_gcl_step_by_a_mean_encoder_equals_its_slow_twin(scene, monkeypatch):
    step, before = both(scene, JOINT, monkeypatch, mean=0.9)
    first, now = before["identity"].state_dict(), scene[0].state_dict()
    for key, value in step.ema_encoder.encoder.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.9 * first[key] + 0.1 * now[key])
