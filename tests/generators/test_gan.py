from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from reid_gen.generators.gan.mixup import Mixup
from reid_gen.generators.protocol import ViewOutput
from reid_gen.generators.turned_maps import TURNED, UNTURNED, AnyAngle, Steps
from reid_gen.losses.adversarial import fake_loss, gradient_penalty, real_loss
from reid_gen.runtime.devices import Runtime
from reid_gen.training.step import DISCRIMINATOR, GENERATOR, IDENTITY
from tests.generators.scenes import (
    HEIGHT,
    WIDTH,
    black_pixels,
    encode_with,
    make_batch,
    make_encoder,
    make_gan,
    make_images,
    make_step,
    make_turned_maps,
)  # fmt: skip

pytestmark = pytest.mark.slow
WARM_UP = {GENERATOR, DISCRIMINATOR}
ALL_NETWORKS = {IDENTITY, GENERATOR, DISCRIMINATOR}


def count_images(network, name="forward"):
    """Record the batch size of every call of a network in a list."""
    batch_sizes = []
    method = getattr(network, name)

    def counted(x, *args):
        batch_sizes.append(len(x))
        return method(x, *args)

    setattr(network, name, counted)
    return batch_sizes


def make_views(gan, encoder, batch):
    """Encoder output and views of a batch, for the generator's losses."""
    encoded = encoder.encode(batch.images)
    encode = encode_with(encoder)
    return encoded, gan.views(batch.sources, encoded, encode, True, ViewOutput.FEATURES)


def test_warm_up_step_needs_no_extra_network_passes():
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images)
    batch_sizes = {
        "E_id": count_images(encoder, "encode"),
        "E_str": count_images(gan.painter.structure),
        "G": count_images(gan.painter.decoder),
        "D": count_images(gan.discriminator),
    }
    step = make_step(encoder, gan, WARM_UP, [0, 0, 1, 1], {})
    step(make_batch(images), 0)
    passes = {name: sum(sizes) / 4 for name, sizes in batch_sizes.items()}
    # The release passes D nine times: real and fake for three kinds of fakes, and G's loss.
    assert passes == {"E_id": 4, "E_str": 2, "G": 3, "D": 7}
    assert len(batch_sizes["E_id"]) == 3
    assert len(batch_sizes["D"]) == 3


def test_discriminator_loss_equals_that_of_the_release():
    images = make_images(3)
    encoder = make_encoder().eval()
    gan = make_gan(encoder, images, penalty_every=1)
    batch = make_batch(images)
    _, views = make_views(gan, encoder, batch)
    terms = gan.discriminator_terms(batch.sources, views, 0)
    actual = terms["fake"] + terms["real"] + 0.01 * terms["penalty"]
    expected = 0.0
    auxiliary = views.auxiliary
    for fake in (auxiliary["reconstruction"], views.images[:, 0], auxiliary["cycle"]):
        real = ((batch.images - encoder.mean) / encoder.std).requires_grad_()
        real_scores = gan.discriminator(real)
        fake_scores = gan.discriminator((fake - encoder.mean) / encoder.std)
        expected = expected + fake_loss(fake_scores) + real_loss(real_scores)
        expected = expected + 0.01 * gradient_penalty(real_scores, real)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-5)


def test_gradient_penalty_is_lazy_and_scaled_by_its_interval():
    images = make_images(3)
    encoder = make_encoder().eval()
    lazy, eager = make_gan(encoder, images), make_gan(encoder, images, penalty_every=1)
    eager.discriminator = lazy.discriminator
    batch = make_batch(images)
    _, views = make_views(lazy, encoder, batch)
    first = lazy.discriminator_terms(batch.sources, views, 0)["penalty"]
    assert "penalty" not in lazy.discriminator_terms(batch.sources, views, 1)
    assert "penalty" in lazy.discriminator_terms(batch.sources, views, 16)
    every_step = eager.discriminator_terms(batch.sources, views, 1)["penalty"]
    assert first.item() == pytest.approx(16 * every_step.item(), rel=1e-5)


def test_painter_splits_parts_by_stripe_or_interleaved():
    encoder = make_encoder()
    painter = make_gan(encoder, make_images(2)).painter
    inputs = []
    painter.decoder.forward = lambda structure, parts: inputs.append(parts) or torch.zeros(1)
    parts = torch.arange(2 * 6 * 4.0).view(2, 6, 4)
    painter.decode(torch.zeros(2), parts)
    painter.stripes = "interleaved"
    painter.decode(torch.zeros(2), parts)
    body, interleaved = inputs
    assert torch.equal(body[:, 1], parts[:, :, 1])
    flat = parts.reshape(2, 24)  # the release splits the flattened features into four
    assert torch.equal(interleaved, torch.stack(flat.chunk(4, 1), 1))


def test_feature_of_view_adds_the_view_to_the_feature_term():
    images = make_images(3)
    encoder = make_encoder().eval()
    gan = make_gan(encoder, images)
    batch = make_batch(images)
    encoded, views = make_views(gan, encoder, batch)
    with_view = gan.generator_terms(batch.sources, views, encoded)["feature"]
    gan.feature_of_view = False
    without_view = gan.generator_terms(batch.sources, views, encoded)["feature"]
    difference = (views.encoded.parts - encoded.parts).abs().mean()
    assert with_view.item() == pytest.approx((without_view + difference).item(), rel=1e-5)


def test_turned_maps_are_deterministic_and_rotate_one_map():
    images = make_images(5)
    maps = make_turned_maps(images)
    inputs, repeated = (
        maps(images, black_pixels(images), np.random.default_rng(3)) for _ in range(2)
    )
    assert sorted(inputs.batch_index) == list(range(5))
    unturned, turned = inputs.conditions[UNTURNED], inputs.conditions[TURNED]
    assert unturned.shape == turned.shape == (5, HEIGHT, WIDTH, 3)
    assert not np.array_equal(unturned, turned)
    np.testing.assert_array_equal(turned, repeated.conditions[TURNED])
    keys = [images[position].key for position in inputs.batch_index]
    expected = maps.maps("parts", keys, np.zeros(5, np.float32))
    np.testing.assert_array_equal(unturned, np.moveaxis(expected, 1, -1))


def test_turned_maps_skip_bodies_below_min_score():
    images = make_images(6)
    maps = make_turned_maps(images, score=[1, 0.1, 1, 0.29, 0.3, 0])
    assert maps.usable(images).tolist() == [True, False, True, False, True, False]
    inputs = maps(images, black_pixels(images), np.random.default_rng(0))
    assert sorted(inputs.batch_index) == [0, 2, 4]
    maps = make_turned_maps(images, score=[0] * 6)
    assert len(maps(images, black_pixels(images), np.random.default_rng(0)).batch_index) == 0


def test_turned_maps_choose_random_sources_up_to_a_limit():
    images = make_images(12)
    maps = make_turned_maps(images, max_sources=4)
    draws = [maps(images, black_pixels(images), np.random.default_rng(s)) for s in range(4)]
    chosen = [tuple(sorted(inputs.batch_index)) for inputs in draws]
    assert all(len(batch_index) == 4 for batch_index in chosen)
    assert len(set(chosen)) > 1


def test_angles_are_multiples_of_a_step_or_any():
    rng = np.random.default_rng(0)
    assert set(Steps(45, 315).sample(rng, 1000)) == {45, 90, 135, 180, 225, 270, 315}
    assert 315 not in Steps(45, 270).sample(rng, 1000)
    angles = AnyAngle(20).sample(rng, 1000)
    assert angles.min() >= 20
    assert angles.max() <= 340
    assert len(set(angles)) > 900


def test_step_without_sources_trains_the_identity_encoder_alone():
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images)
    weights = {"prototype": 1.0, "view_prototype": 1}
    step = make_step(encoder, gan, ALL_NETWORKS, [0, 0, 1, 1], weights)
    assert set(step(replace(make_batch(images), sources=None), 0)) == {"prototype"}


def test_mixup_generates_two_people_in_the_pose_of_the_first():
    torch.manual_seed(0)
    images = make_images(4)
    encoder = make_encoder().eval()
    gan = make_gan(encoder, images, mixup=Mixup(0.6))
    batch = make_batch(images)
    encoded, views = make_views(gan, encoder, batch)
    mixup = views.mixup
    assert sorted(mixup.partners.tolist()) == [0, 1, 2, 3]
    assert ((mixup.share >= 0.5) & (mixup.share <= 1)).all()
    share = mixup.share.view(-1, 1, 1)
    parts = share * encoded.parts + (1 - share) * encoded.parts[mixup.partners]
    structure = gan.painter.structure(batch.sources.conditions[UNTURNED])
    torch.testing.assert_close(views.auxiliary["mixup"], gan.painter.decode(structure, parts))
    # A fourth kind of generated image: all adversarial terms count four times.
    terms = gan.discriminator_terms(batch.sources, views, 1)
    scores = gan.discriminator(gan.painter.normalise(batch.images))
    assert terms["real"].item() == pytest.approx(4 * real_loss(scores).item(), rel=1e-5)


def test_step_encodes_the_sources_of_augmented_images():
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images)
    batch_sizes = count_images(encoder, "encode")
    step = make_step(encoder, gan, WARM_UP, [0, 0, 1, 1], {})
    batch = make_batch(images)
    step(replace(batch, sources=replace(batch.sources, unaugmented=False)), 0)
    assert sum(batch_sizes) == 5 * 4


@pytest.mark.parametrize("real_statistics", [True, False])
def test_real_statistics_exclude_generated_images(real_statistics):
    torch.manual_seed(0)
    images = make_images(4)
    encoder = make_encoder()
    reference = deepcopy(encoder).train()
    gan = make_gan(encoder, images)
    step = make_step(encoder, gan, ALL_NETWORKS, [0, 0, 1, 1], {"prototype": 1.0}, rate=0.0)
    step.real_statistics = real_statistics
    batch = make_batch(images)
    step(batch, 0)
    reference.encode(batch.images)
    equal = torch.allclose(encoder.neck.running_mean, reference.neck.running_mean)
    assert equal == real_statistics
    assert encoder.neck.momentum == reference.neck.momentum


def test_contrast_is_computed_in_float32_under_bf16_autocast(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images)
    step = make_step(encoder, gan, ALL_NETWORKS, [0, 0, 1, 1], {"prototype": 1.0})
    step.runtime = Runtime("bf16", "bf16")
    contrast, states = step.contrast, []

    class Spy:
        bank = contrast.bank

        def __call__(self, batch):
            states.append((torch.is_autocast_enabled("cpu"), batch.image.dtype))
            return contrast(batch)

    step.contrast = Spy()
    step(make_batch(images), 0)
    assert states == [(False, torch.float32)]


def test_train_batch_limits_training_but_not_views():
    torch.manual_seed(0)
    images = make_images(4)
    encoder = make_encoder().eval()
    gan = make_gan(encoder, images, penalty_every=1, mixup=Mixup(0.6))
    batch = make_batch(images)
    encoded = encoder.encode(batch.images)
    sources = batch.sources
    first_two = replace(
        sources,
        batch_index=sources.batch_index[:2],
        images=sources.images[:2],
        conditions={name: maps[:2] for name, maps in sources.conditions.items()},
    )

    def generate(sources, encoded, train_batch):
        gan.train_batch = train_batch
        torch.manual_seed(1)
        views = gan.views(sources, encoded, encode_with(encoder), True, ViewOutput.FEATURES)
        terms = gan.discriminator_terms(sources, views, 0)
        return views, {**terms, **gan.generator_terms(sources, views, encoded)}

    views, actual = generate(sources, encoded, 2)
    views_of_two, expected = generate(first_two, encoded.select(slice(2)), None)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=1e-4, atol=1e-6)
    assert views.images.shape[0] == 4
    assert len(views.mixup.partners) == 2
    torch.testing.assert_close(views.images[:2], views_of_two.images, rtol=1e-4, atol=1e-5)
    views_of_four, _ = generate(sources, encoded, None)
    torch.testing.assert_close(views.images, views_of_four.images, rtol=1e-4, atol=1e-5)
    parameters = list(gan.painter.decoder.parameters())
    trained = torch.autograd.grad(views.images[:2].sum(), parameters, retain_graph=True)
    total = torch.autograd.grad(views.images.sum(), parameters)
    assert all(torch.equal(a, b) for a, b in zip(trained, total, strict=True))


def test_joint_step_with_train_batch_has_mixup_and_view_terms():
    torch.manual_seed(0)
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images, mixup=Mixup(0.6), train_batch=2)
    weights = {"prototype": 1.0, "view_prototype": 1.0, "mixup": 0.5}
    step = make_step(encoder, gan, ALL_NETWORKS, [0, 0, 1, 1], weights)
    assert {"mixup", "view_prototype", "image", "fake"} <= step(make_batch(images), 0).keys()
