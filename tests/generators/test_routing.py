"""Which network each loss term may move: the table in docs/gcl.md, asserted."""

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

EVERYBODY = {IDENTITY, GENERATOR, DISCRIMINATOR}
WARM_UP = {GENERATOR, DISCRIMINATOR}
LABELS = [0, 0, 1, 1]
JOINT = {
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


def moved_by(term, names, separate=False):
    """Who has moved after a step in which only this term has a weight."""
    torch.manual_seed(0)
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images, mixup=Mixup(0.6))
    weights = dict.fromkeys(JOINT, 0.0) | {term: 1.0}
    step = make_step(encoder, gan, names, LABELS, weights, rate=1.0)
    networks = {IDENTITY: encoder, GENERATOR: gan.networks, DISCRIMINATOR: gan.discriminator}
    before = {name: [p.detach().clone() for p in n.parameters()] for name, n in networks.items()}
    step.ema_encoder = EmaEncoder(encoder, 0.9) if separate else None
    scalars = step(make_batch(images), 0)
    assert term in scalars
    return {
        name
        for name, network in networks.items()
        if any(
            not torch.equal(a, b) for a, b in zip(before[name], network.parameters(), strict=True)
        )
    }


@pytest.mark.parametrize("term", list(JOINT))
def test_in_the_joint_stage_a_term_moves_these_and_no_others(term):
    assert moved_by(term, EVERYBODY) == JOINT[term]


@pytest.mark.parametrize("term", list(JOINT))
def test_by_a_mean_encoder_each_learns_from_its_own_terms_alone(term):
    contrast = IDENTITY in JOINT[term] and term not in {"image", "cycle", "feature", "adversarial"}
    kept = {IDENTITY} if contrast else JOINT[term] - {IDENTITY}
    assert moved_by(term, EVERYBODY, separate=True) == kept


@pytest.mark.parametrize("term", ["image", "cycle", "feature", "adversarial", "fake", "penalty"])
def test_while_the_generator_warms_up_the_identity_encoder_never_moves(term):
    assert moved_by(term, WARM_UP) == JOINT[term] - {IDENTITY}


@pytest.mark.parametrize("term", ["view_prototype", "view_align", "view_instance", "view_cluster"])
def test_views_of_a_frozen_generator_move_the_identity_encoder_alone(term):
    assert moved_by(term, {IDENTITY}) == {IDENTITY}


def test_a_frozen_identity_encoder_keeps_its_statistics():
    images = make_images(4)
    encoder = make_encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    step = make_step(encoder, make_gan(encoder, images), WARM_UP, LABELS, {})
    step(make_batch(images), 0)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_the_target_of_a_feature_term_is_a_constant():
    """The image's own part features must not move towards those of what was drawn."""
    images = make_images(4)
    encoder = make_encoder().eval()
    gan = make_gan(encoder, images)
    batch = make_batch(images)
    seen = encoder.encode(batch.images)
    constant = type(seen)(seen.feature.detach(), seen.parts.detach().requires_grad_())
    views = gan.views(batch.sources, constant, encode_with(encoder), True, ViewOutput.FEATURES)
    target = type(seen)(seen.feature, seen.parts.detach().requires_grad_())
    gan.generator_terms(batch.sources, views, target)["feature"].backward()
    assert target.parts.grad is None


def test_pictures_follow_the_mean_encoder_and_not_the_one_that_learns():
    torch.manual_seed(0)
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images)
    step = make_step(encoder, gan, EVERYBODY, LABELS, {"view_prototype": 1.0})
    step.ema_encoder = EmaEncoder(encoder, 1.0)
    batch = make_batch(images)

    def drawn():
        (seen,) = step.encode(batch.images)
        return step._generate(batch.sources, seen).views.images.detach().clone()

    before = drawn()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(1.5)
    assert torch.equal(drawn(), before)
    step.ema_encoder.reset(encoder)
    assert not torch.equal(drawn(), before)
