"""The whole training step equals a reference implementation of GCL."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from reid_gen.models.ema_encoder import EmaEncoder
from reid_gen.training import contrastive_terms
from reid_gen.training.contrastive_terms import Pairs
from reid_gen.training.step import DISCRIMINATOR, GENERATOR, IDENTITY
from tests.generators.scenes import make_batch, make_encoder, make_gan, make_images, make_step
from tests.reference.gcl import ReferenceStep

pytestmark = pytest.mark.slow

LABELS = [0, 0, 1, 1, -1]
MATES, VIEW_MATES = [1, 1, 2], [0, 1, 3]
WEIGHTS = {
    "image": 5.0, "cycle": 3.0, "feature": 2.0, "adversarial": 0.7, "fake": 1.1, "real": 0.9,
    "penalty": 0.01, "view_instance": 1.3, "view_cluster": 1.7, "real_cluster": 0.6,
}  # fmt: skip
LEARNING_RATE = 1e-2
ALL_NETWORKS = {IDENTITY, GENERATOR, DISCRIMINATOR}


@pytest.fixture(autouse=True)
def in_float64(monkeypatch):
    """Compute everything in float64, also what is cast to float32."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def scene():
    """An encoder, images, and their batch of small crops whose bodies fill a part of the maps."""
    torch.manual_seed(0)
    images = make_images(3)
    batch = make_batch(images)
    small = batch.images[:, :, :32, :16]
    maps = {name: maps[:, :, :32, :16] for name, maps in batch.sources.conditions.items()}
    maps["unturned"][:, :, :, :6] = -1
    maps["turned"][:, :, :20] = -1
    sources = replace(batch.sources, images=small, conditions=maps)
    return make_encoder(), images, replace(batch, images=small, sources=sources)


def check_step(scene, trained, monkeypatch, *, pairs=None, ema=None, release=False, **options):
    """Compare terms, updated networks and memory of one step with the reference step."""
    encoder, images, batch = scene
    gan = make_gan(encoder, images, penalty_every=2, feature_of_view=not release, **options)
    with torch.no_grad():  # initial weights are so small that D would hardly matter
        for parameter in gan.discriminator.parameters():
            parameter.mul_(10)
    step = make_step(encoder, gan, trained, LABELS, WEIGHTS, pairs, LEARNING_RATE)
    step.real_statistics = not release
    step.ema_encoder = None if ema is None else EmaEncoder(encoder, ema)
    networks = {
        "identity": encoder,
        "structure": gan.painter.structure,
        "decoder": gan.painter.decoder,
        "discriminator": gan.discriminator,
    }
    bank = None if step.contrast is None else step.contrast.bank
    reference = ReferenceStep(
        **deepcopy(networks),
        memory=torch.zeros(5, 1) if bank is None else bank.features.clone(),
        labels=LABELS,
        weights=WEIGHTS,
        learning_rate=LEARNING_RATE,
        ema=deepcopy(step.ema_encoder.encoder) if step.ema_encoder else None,
        feature_of_view=not release,
        positive_from_batch=not release,
        own_negatives=not release,
        generated_statistics=release,
        body_weight=options.get("body_weight", 1.0),
        penalty_every=2,
    )
    mates = iter(torch.tensor([MATES, VIEW_MATES]))
    monkeypatch.setattr(contrastive_terms, "sample_positives", lambda positives: next(mates))
    before = deepcopy(networks)
    actual = step(batch, 0)
    assert min(actual.values()) > 1e-3
    unturned, turned = (batch.sources.conditions[name] for name in ("unturned", "turned"))
    joint = IDENTITY in trained
    terms = reference(batch.images, unturned, turned, MATES, VIEW_MATES, -1.0, joint)
    expected = {name: value.item() for name, value in terms.items()}
    assert actual == pytest.approx(expected, rel=1e-9, abs=0)
    for name, network in networks.items():
        check_update(name, network, getattr(reference, name), before[name])
    if bank is not None:
        torch.testing.assert_close(bank.features, reference.memory, rtol=1e-9, atol=1e-12)
    return step, before


def check_update(name, actual, expected, before):
    """Compare how two steps changed a network: the difference is the gradient."""
    expected, before = expected.state_dict(), before.state_dict()
    for key, value in actual.state_dict().items():
        if value.is_floating_point():
            updates = (value - before[key], expected[key] - before[key])
            torch.testing.assert_close(*updates, rtol=1e-6, atol=1e-12, msg=f"{name}.{key}")


def test_gcl_joint_step_equals_reference(scene, monkeypatch):
    check_step(scene, ALL_NETWORKS, monkeypatch, body_weight=4.0)


def test_gcl_joint_step_as_released_equals_reference(scene, monkeypatch):
    pairs = Pairs(positive_from_batch=False, own_negatives=False)
    check_step(scene, ALL_NETWORKS, monkeypatch, pairs=pairs, release=True)


def test_gcl_warm_up_step_equals_reference(scene, monkeypatch):
    _, before = check_step(scene, ALL_NETWORKS - {IDENTITY}, monkeypatch)
    state, state_before = scene[0].state_dict(), before["identity"].state_dict()
    assert all(torch.equal(state[key], state_before[key]) for key in state)


def test_gcl_step_with_ema_encoder_equals_reference(scene, monkeypatch):
    step, before = check_step(scene, ALL_NETWORKS, monkeypatch, ema=0.9)
    state_before, state = before["identity"].state_dict(), scene[0].state_dict()
    for key, value in step.ema_encoder.encoder.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.9 * state_before[key] + 0.1 * state[key])
