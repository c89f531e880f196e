"""The networks that each loss term may update: the table in docs/gcl.md, asserted."""

import pytest
import torch

from reid_gen.generators.gan.mixup import Mixup
from reid_gen.generators.protocol import ViewOutput
from reid_gen.models.ema_encoder import EmaEncoder
from reid_gen.training.step import DISCRIMINATOR, GENERATOR, IDENTITY
from tests.generators.scenes import (
    encode_with,
    make_batch,
    make_encoder,
    make_gan,
    make_images,
    make_step,
)

pytestmark = pytest.mark.slow

ALL_NETWORKS = {IDENTITY, GENERATOR, DISCRIMINATOR}
WARM_UP = {GENERATOR, DISCRIMINATOR}
LABELS = [0, 0, 1, 1]
UPDATED_BY = {
    "prototype": {IDENTITY},
    "instance": {IDENTITY},
    "view_prototype": {IDENTITY, GENERATOR},
    "view_align": {IDENTITY, GENERATOR},
    "view_instance": {IDENTITY, GENERATOR},
    "view_cluster": {IDENTITY, GENERATOR},
    "real_cluster": {IDENTITY},
    "mixup": {IDENTITY, GENERATOR},
    "image": {IDENTITY, GENERATOR},
    "cycle": {IDENTITY, GENERATOR},
    "feature": {IDENTITY, GENERATOR},
    "adversarial": {IDENTITY, GENERATOR},
    "fake": {DISCRIMINATOR},
    "real": {DISCRIMINATOR},
    "penalty": {DISCRIMINATOR},
}
"""Networks that a term updates in the joint stage."""


def updated_networks(term, trained, ema=False):
    """Names of the networks that a step with only this term changes."""
    torch.manual_seed(0)
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images, mixup=Mixup(0.6))
    weights = dict.fromkeys(UPDATED_BY, 0.0) | {term: 1.0}
    step = make_step(encoder, gan, trained, LABELS, weights, rate=1.0)
    networks = {IDENTITY: encoder, GENERATOR: gan.networks, DISCRIMINATOR: gan.discriminator}
    before = {name: [p.detach().clone() for p in n.parameters()] for name, n in networks.items()}
    step.ema_encoder = EmaEncoder(encoder, 0.9) if ema else None
    scalars = step(make_batch(images), 0)
    assert term in scalars
    return {
        name
        for name, network in networks.items()
        if any(
            not torch.equal(a, b) for a, b in zip(before[name], network.parameters(), strict=True)
        )
    }


@pytest.mark.parametrize("term", list(UPDATED_BY))
def test_joint_step_routes_each_term_to_its_networks(term):
    assert updated_networks(term, ALL_NETWORKS) == UPDATED_BY[term]


@pytest.mark.parametrize("term", list(UPDATED_BY))
def test_joint_step_with_ema_separates_contrast_and_generator(term):
    of_generator = {"image", "cycle", "feature", "adversarial"}
    contrastive = IDENTITY in UPDATED_BY[term] and term not in of_generator
    expected = {IDENTITY} if contrastive else UPDATED_BY[term] - {IDENTITY}
    assert updated_networks(term, ALL_NETWORKS, ema=True) == expected


@pytest.mark.parametrize("term", ["image", "cycle", "feature", "adversarial", "fake", "penalty"])
def test_warm_up_step_never_updates_the_identity_encoder(term):
    assert updated_networks(term, WARM_UP) == UPDATED_BY[term] - {IDENTITY}


@pytest.mark.parametrize("term", ["view_prototype", "view_align", "view_instance", "view_cluster"])
def test_frozen_generator_is_not_updated_by_view_terms(term):
    assert updated_networks(term, {IDENTITY}) == {IDENTITY}


def test_warm_up_step_keeps_the_encoders_running_statistics():
    images = make_images(4)
    encoder = make_encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    step = make_step(encoder, make_gan(encoder, images), WARM_UP, LABELS, {})
    step(make_batch(images), 0)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_feature_term_detaches_its_target():
    """The source image's part features must not move towards those of generated images."""
    images = make_images(4)
    encoder = make_encoder().eval()
    gan = make_gan(encoder, images)
    batch = make_batch(images)
    encoded = encoder.encode(batch.images)
    constant = type(encoded)(encoded.feature.detach(), encoded.parts.detach().requires_grad_())
    encode = encode_with(encoder)
    views = gan.views(batch.sources, constant, encode, True, ViewOutput.FEATURES)
    target = type(encoded)(encoded.feature, encoded.parts.detach().requires_grad_())
    gan.generator_terms(batch.sources, views, target)["feature"].backward()
    assert target.parts.grad is None


def test_views_follow_the_ema_encoder():
    torch.manual_seed(0)
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images)
    step = make_step(encoder, gan, ALL_NETWORKS, LABELS, {"view_prototype": 1.0})
    step.ema_encoder = EmaEncoder(encoder, 1.0)
    batch = make_batch(images)

    def generate():
        (encoded,) = step.encode(batch.images)
        return step._generate(batch.sources, encoded).views.images.detach().clone()

    before = generate()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(1.5)
    assert torch.equal(generate(), before)
    step.ema_encoder.reset(encoder)
    assert not torch.equal(generate(), before)
