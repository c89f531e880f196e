"""Every source of views keeps to the protocol: one suite for all."""

import io

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from reid_gen.data.loaders import DecodedBatch
from reid_gen.data.positive_groups import (
    SAME_IDENTITY,
    Member,
    load_groups,
    start_groups,
    write_part,
)
from reid_gen.data.transforms import Augmentation
from reid_gen.generators.protocol import ViewOutput
from reid_gen.generators.stored import StoredViews, ViewFilter
from reid_gen.training.batch import prepare
from tests.generators.scenes import (
    HEIGHT,
    WIDTH,
    encode_with,
    make_diffusion,
    make_encoder,
    make_gan,
    make_images,
)

IMAGES = make_images(6)
PLAIN = Augmentation(flip=0.5, pad=0, erase=0, fill=(0, 0, 0))


def stored(folder):
    start_groups(folder, {"kind": SAME_IDENTITY, "parts": 1, "sources": 6})
    rng = np.random.default_rng(0)
    made = []
    for image in IMAGES:
        for n in range(3):
            file = io.BytesIO()
            noise = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            Pillow.fromarray(noise).save(file, "PNG")
            name = f"part-00000/{image.key[6:10]}_{n}.png"
            member = Member(name, image.key, 0, image.key, 90.0, "", 0.9, 0.8, 0.1)
            made.append((member, file.getvalue()))
    write_part(folder, 0, made)
    return StoredViews(load_groups(folder), HEIGHT, WIDTH, 2, 4, ViewFilter())


@pytest.fixture(params=["mesh_gan", "stored", "pixel_diffusion"])
def scene(request, tmp_path):
    """Encoder, generator, and how many views it gives per image."""
    torch.manual_seed(0)
    encoder = make_encoder()
    if request.param == "stored":
        return encoder, stored(tmp_path / "groups"), 2
    if request.param == "pixel_diffusion":
        return encoder, make_diffusion(encoder, IMAGES), 1
    return encoder, make_gan(encoder, IMAGES), 1


def sources(generator, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (6, HEIGHT, WIDTH, 3), dtype=np.uint8)
    condition_inputs = generator.make_conditions(IMAGES, pixels, np.random.default_rng(seed))
    decoded = DecodedBatch(np.arange(6), pixels, (), condition_inputs)
    rng = np.random.default_rng(seed)
    return prepare(decoded, PLAIN, rng, torch.device("cpu")).sources


def drawn(encoder, generator, learning, seed=0):
    given = sources(generator, seed)
    seen = encoder.encode(given.images)
    views = generator.views(given, seen, encode_with(encoder), learning, ViewOutput.FEATURES)
    return given, seen, views


def test_views_have_the_shape_of_their_images(scene):
    encoder, generator, count = scene
    given, _, views = drawn(encoder, generator, learning=False)
    assert views.images.shape == (len(given.images), count, 3, HEIGHT, WIDTH)
    assert views.encoded.feature.shape == (len(given.images) * count, encoder.feature_size)


def test_a_generator_that_needs_no_views_to_learn_draws_none_unless_they_are_contrasted():
    torch.manual_seed(0)
    encoder = make_encoder()
    diffusion = make_diffusion(encoder, IMAGES)
    given = sources(diffusion)
    seen = encoder.encode(given.images)
    views = diffusion.views(given, seen, encode_with(encoder), True, ViewOutput.NONE)
    assert views.images.shape[:2] == (len(given.images), 0)
    assert views.encoded is None


def test_views_are_encoded_only_where_their_features_are_wanted(scene):
    encoder, generator, count = scene
    given = sources(generator)
    seen = encoder.encode(given.images)
    passes = []

    def encode(*several):
        passes.extend(len(images) for images in several)
        return encode_with(encoder)(*several)

    views = generator.views(given, seen, encode, False, ViewOutput.IMAGES)
    assert views.images.shape[:2] == (len(given.images), count)
    assert views.encoded is None
    assert not passes


def test_pictures_are_constants_unless_the_generator_learns_but_their_features_are_not(scene):
    encoder, generator, _ = scene
    _, _, views = drawn(encoder, generator, learning=False)
    assert not views.images.requires_grad
    assert views.encoded.feature.requires_grad


def test_terms_are_scalars_and_there_are_none_without_networks(scene):
    encoder, generator, _ = scene
    given, seen, views = drawn(encoder, generator, learning=True)
    terms = {
        **generator.discriminator_terms(given, views, 0),
        **generator.generator_terms(given, views, seen),
    }
    trained = list(generator.networks.parameters()) + list(generator.discriminator.parameters())
    assert bool(terms) == bool(trained)
    assert all(value.ndim == 0 for value in terms.values())


def test_the_same_seed_brings_the_same_and_another_one_something_else(scene):
    encoder, generator, _ = scene
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)  # as an epoch does
        found.append(drawn(encoder.eval(), generator, False, seed)[2].images)
    one, again, other = found
    torch.testing.assert_close(one, again)
    assert one.shape != other.shape or not torch.allclose(one, other)


def test_it_says_which_images_can_get_views_and_shows_those(scene):
    encoder, generator, _ = scene
    stranger = make_images(7)[6:]
    if isinstance(generator, StoredViews):
        assert generator.usable([*IMAGES, *stranger]).tolist() == [True] * 6 + [False]
    assert generator.usable(IMAGES).all()
    keys = [image.key for image in IMAGES[:2]]
    encoder.eval()
    images = torch.rand(2, 3, HEIGHT, WIDTH)
    shown = generator.preview(images, keys, encode_with(encoder))
    assert shown.shape[0] == 2
    assert shown.shape[2:] == (3, HEIGHT, WIDTH)
    assert not shown.requires_grad
