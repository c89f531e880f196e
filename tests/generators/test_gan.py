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

WARM_UP = {GENERATOR, DISCRIMINATOR}


def count_images(network, name="forward"):
    """Count the calls of a network and the images in them."""
    counts = []
    plain = getattr(network, name)

    def counted(x, *others):
        counts.append(len(x))
        return plain(x, *others)

    setattr(network, name, counted)
    return counts


def test_a_warm_up_step_passes_each_network_as_often_as_needed_and_no_more():
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images)
    counts = {
        "E_id": count_images(encoder, "encode"),
        "E_str": count_images(gan.painter.structure),
        "G": count_images(gan.painter.decoder),
        "D": count_images(gan.discriminator),
    }
    step = make_step(encoder, gan, WARM_UP, [0, 0, 1, 1], {})
    step(make_batch(images), 0)
    passes = {name: sum(found) / 4 for name, found in counts.items()}
    # The release passes D nine times: for three fakes, each with the real images, and G's side.
    assert passes == {"E_id": 4, "E_str": 2, "G": 3, "D": 7}
    assert len(counts["E_id"]) == 3
    assert len(counts["D"]) == 3


def test_the_discriminators_loss_equals_the_releases_with_its_nine_passes():
    images = make_images(3)
    encoder = make_encoder().eval()
    gan = make_gan(encoder, images, penalty_every=1)
    batch = make_batch(images)
    seen = encoder.encode(batch.images)
    views = gan.views(batch.sources, seen, encode_with(encoder), True, ViewOutput.FEATURES)
    ours = gan.discriminator_terms(batch.sources, views, 0)
    total = ours["fake"] + ours["real"] + 0.01 * ours["penalty"]
    theirs = 0.0
    for fake in (views.auxiliary["reconstruction"], views.images[:, 0], views.auxiliary["cycle"]):
        real = ((batch.images - encoder.mean) / encoder.std).requires_grad_()
        judged = gan.discriminator(real)
        theirs = theirs + fake_loss(gan.discriminator((fake - encoder.mean) / encoder.std))
        theirs = theirs + real_loss(judged) + 0.01 * gradient_penalty(judged, real)
    assert total.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_the_penalty_comes_now_and_then_and_counts_as_much_more():
    images = make_images(3)
    encoder = make_encoder().eval()
    lazy, eager = make_gan(encoder, images), make_gan(encoder, images, penalty_every=1)
    eager.discriminator = lazy.discriminator
    batch = make_batch(images)
    seen = encoder.encode(batch.images)
    views = lazy.views(batch.sources, seen, encode_with(encoder), True, ViewOutput.FEATURES)
    first = lazy.discriminator_terms(batch.sources, views, 0)["penalty"]
    assert "penalty" not in lazy.discriminator_terms(batch.sources, views, 1)
    assert "penalty" in lazy.discriminator_terms(batch.sources, views, 16)
    each = eager.discriminator_terms(batch.sources, views, 1)["penalty"]
    assert first.item() == pytest.approx(16 * each.item(), rel=1e-5)


def test_stripes_of_the_body_or_interleaved_channels_as_in_the_release():
    encoder = make_encoder()
    painter = make_gan(encoder, make_images(2)).painter
    given = []
    painter.decoder.forward = lambda structure, parts: given.append(parts) or torch.zeros(1)
    parts = torch.arange(2 * 6 * 4.0).view(2, 6, 4)
    painter.decode(torch.zeros(2), parts)
    painter.stripes = "interleaved"
    painter.decode(torch.zeros(2), parts)
    body, interleaved = given
    assert torch.equal(body[:, 1], parts[:, :, 1])
    flat = parts.reshape(2, 24)  # the release cuts the flattened features into four
    assert torch.equal(interleaved, torch.stack(flat.chunk(4, 1), 1))


def test_tying_the_views_features_too_adds_a_term():
    images = make_images(3)
    encoder = make_encoder().eval()
    both = make_gan(encoder, images)
    batch = make_batch(images)
    seen = encoder.encode(batch.images)
    views = both.views(batch.sources, seen, encode_with(encoder), True, ViewOutput.FEATURES)
    tied = both.generator_terms(batch.sources, views, seen)["feature"]
    both.feature_of_view = False
    loose = both.generator_terms(batch.sources, views, seen)["feature"]
    extra = (views.encoded.parts - seen.parts).abs().mean()
    assert tied.item() == pytest.approx((loose + extra).item(), rel=1e-5)


def test_maps_show_people_as_they_are_and_turned_and_are_the_same_for_the_same_seed():
    images = make_images(5)
    maps = make_turned_maps(images)
    condition_inputs, again = (
        maps(images, black_pixels(images), np.random.default_rng(3)) for _ in range(2)
    )
    assert sorted(condition_inputs.batch_index) == list(range(5))
    here, turned = condition_inputs.conditions[UNTURNED], condition_inputs.conditions[TURNED]
    assert here.shape == turned.shape == (5, HEIGHT, WIDTH, 3)
    assert not np.array_equal(here, turned)
    np.testing.assert_array_equal(turned, again.conditions[TURNED])
    exact = maps.maps(
        "parts", [images[p].key for p in condition_inputs.batch_index], np.zeros(5, np.float32)
    )
    np.testing.assert_array_equal(here, np.moveaxis(exact, 1, -1))


def test_images_without_a_body_to_trust_get_no_views():
    images = make_images(6)
    maps = make_turned_maps(images, score=[1, 0.1, 1, 0.29, 0.3, 0])
    assert maps.usable(images).tolist() == [True, False, True, False, True, False]
    assert sorted(maps(images, black_pixels(images), np.random.default_rng(0)).batch_index) == [
        0,
        2,
        4,
    ]
    nobody = make_turned_maps(images, score=[0] * 6)(
        images, black_pixels(images), np.random.default_rng(0)
    )
    assert len(nobody.batch_index) == 0


def test_only_some_images_of_a_large_batch_get_views_others_each_time():
    images = make_images(12)
    maps = make_turned_maps(images, max_sources=4)
    draws = [maps(images, black_pixels(images), np.random.default_rng(s)) for s in range(4)]
    chosen = [tuple(sorted(draw.batch_index)) for draw in draws]
    assert all(len(batch_index) == 4 for batch_index in chosen)
    assert len(set(chosen)) > 1


def test_angles_are_steps_or_any():
    rng = np.random.default_rng(0)
    steps = Steps(45, 315).sample(rng, 1000)
    assert set(steps) == {45, 90, 135, 180, 225, 270, 315}
    assert 315 not in Steps(45, 270).sample(rng, 1000)
    some = AnyAngle(20).sample(rng, 1000)
    assert some.min() >= 20
    assert some.max() <= 340
    assert len(set(some)) > 900


def test_a_batch_without_any_body_trains_the_identity_encoder_alone():
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images)
    everybody = {IDENTITY, GENERATOR, DISCRIMINATOR}
    step = make_step(encoder, gan, everybody, [0, 0, 1, 1], {"prototype": 1.0, "view_prototype": 1})
    whole = make_batch(images)
    scalars = step(type(whole)(whole.images, whole.index), 0)
    assert set(scalars) == {"prototype"}


def test_mixing_draws_two_people_in_the_pose_of_the_first():
    torch.manual_seed(0)
    images = make_images(4)
    encoder = make_encoder().eval()
    gan = make_gan(encoder, images, mixup=Mixup(0.6))
    batch = make_batch(images)
    seen = encoder.encode(batch.images)
    views = gan.views(batch.sources, seen, encode_with(encoder), True, ViewOutput.FEATURES)
    mixed = views.mixup
    assert sorted(mixed.partners.tolist()) == [0, 1, 2, 3]
    assert ((mixed.share >= 0.5) & (mixed.share <= 1)).all()
    own = mixed.share.view(-1, 1, 1)
    parts = own * seen.parts + (1 - own) * seen.parts[mixed.partners]
    here = gan.painter.structure(batch.sources.conditions[UNTURNED])
    torch.testing.assert_close(views.auxiliary["mixup"], gan.painter.decode(here, parts))
    # A fourth kind of drawn picture, so everything adversarial counts four times.
    terms = gan.discriminator_terms(batch.sources, views, 1)
    judged = gan.discriminator(gan.painter.normalise(batch.images))
    assert terms["real"].item() == pytest.approx(4 * real_loss(judged).item(), rel=1e-5)


def test_images_that_the_batch_shows_changed_are_encoded_whole_for_the_generator():
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images)
    counts = count_images(encoder, "encode")
    step = make_step(encoder, gan, WARM_UP, [0, 0, 1, 1], {})
    batch = make_batch(images)
    step(replace(batch, sources=replace(batch.sources, unaugmented=False)), 0)
    assert sum(counts) == 5 * 4


@pytest.mark.parametrize("real_statistics", [True, False])
def test_drawn_pictures_enter_the_running_statistics_only_if_asked_to(real_statistics):
    torch.manual_seed(0)
    images = make_images(4)
    encoder = make_encoder()
    alone = deepcopy(encoder).train()
    gan = make_gan(encoder, images)
    everybody = {IDENTITY, GENERATOR, DISCRIMINATOR}
    step = make_step(encoder, gan, everybody, [0, 0, 1, 1], {"prototype": 1.0}, rate=0.0)
    step.real_statistics = real_statistics
    batch = make_batch(images)
    step(batch, 0)
    alone.encode(batch.images)
    same = torch.allclose(encoder.neck.running_mean, alone.neck.running_mean)
    assert same == real_statistics
    assert encoder.neck.momentum == alone.neck.momentum


def test_similarities_keep_their_digits_when_networks_run_in_bf16(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    images = make_images(4)
    encoder = make_encoder()
    everybody = {IDENTITY, GENERATOR, DISCRIMINATOR}
    gan = make_gan(encoder, images)
    step = make_step(encoder, gan, everybody, [0, 0, 1, 1], {"prototype": 1.0})
    step.runtime = Runtime("bf16", "bf16")
    plain, states = step.contrast, []

    class Spy:
        bank = plain.bank

        def __call__(self, anchors):
            states.append((torch.is_autocast_enabled("cpu"), anchors.image.dtype))
            return plain(anchors)

    step.contrast = Spy()
    step(make_batch(images), 0)
    assert states == [(False, torch.float32)]


def test_it_can_learn_from_some_and_draw_views_of_all():
    torch.manual_seed(0)
    images = make_images(4)
    encoder = make_encoder().eval()
    gan = make_gan(encoder, images, penalty_every=1, mixup=Mixup(0.6))
    batch = make_batch(images)
    seen = encoder.encode(batch.images)
    some = replace(
        batch.sources,
        batch_index=batch.sources.batch_index[:2],
        images=batch.sources.images[:2],
        conditions={name: maps[:2] for name, maps in batch.sources.conditions.items()},
    )

    def terms(sources, encoded, train_batch):
        gan.train_batch = train_batch
        torch.manual_seed(1)
        views = gan.views(sources, encoded, encode_with(encoder), True, ViewOutput.FEATURES)
        judged = gan.discriminator_terms(sources, views, 0)
        return views, {**judged, **gan.generator_terms(sources, views, encoded)}

    views, found = terms(batch.sources, seen, 2)
    alone, wanted = terms(some, seen.select(slice(2)), None)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
    assert views.images.shape[0] == 4
    assert len(views.mixup.partners) == 2
    torch.testing.assert_close(views.images[:2], alone.images, rtol=1e-4, atol=1e-5)
    whole, _ = terms(batch.sources, seen, None)
    torch.testing.assert_close(views.images, whole.images, rtol=1e-4, atol=1e-5)
    learnt = torch.autograd.grad(
        views.images[:2].sum(), gan.painter.decoder.parameters(), retain_graph=True
    )
    every = torch.autograd.grad(views.images.sum(), gan.painter.decoder.parameters())
    assert all(torch.equal(a, b) for a, b in zip(learnt, every, strict=True))


def test_a_joint_step_mixes_and_contrasts_when_it_learns_from_some():
    torch.manual_seed(0)
    images = make_images(4)
    encoder = make_encoder()
    gan = make_gan(encoder, images, mixup=Mixup(0.6), train_batch=2)
    weights = {"prototype": 1.0, "view_prototype": 1.0, "mixup": 0.5}
    step = make_step(encoder, gan, {*WARM_UP, IDENTITY}, [0, 0, 1, 1], weights)
    found = step(make_batch(images), 0)
    assert {"mixup", "view_prototype", "image", "fake"} <= found.keys()
