"""Every view generator fulfils the protocol: one suite for all of them."""

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
FLIP_ONLY = Augmentation(flip=0.5, pad=0, erase=0, fill=(0, 0, 0))


def make_stored(folder):
    start_groups(folder, {"kind": SAME_IDENTITY, "parts": 1, "sources": 6})
    rng = np.random.default_rng(0)
    members = []
    for image in IMAGES:
        for n in range(3):
            file = io.BytesIO()
            noise = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            Pillow.fromarray(noise).save(file, "PNG")
            name = f"part-00000/{image.key[6:10]}_{n}.png"
            member = Member(name, image.key, 0, image.key, 90.0, "", 0.9, 0.8, 0.1)
            members.append((member, file.getvalue()))
    write_part(folder, 0, members)
    return StoredViews(load_groups(folder), HEIGHT, WIDTH, 2, 4, ViewFilter())


@pytest.fixture(params=["mesh_gan", "stored", "pixel_diffusion"])
def scene(request, tmp_path):
    """Encoder, generator, and its number of views per image."""
    torch.manual_seed(0)
    encoder = make_encoder()
    if request.param == "stored":
        return encoder, make_stored(tmp_path / "groups"), 2
    if request.param == "pixel_diffusion":
        return encoder, make_diffusion(encoder, IMAGES), 1
    return encoder, make_gan(encoder, IMAGES), 1


def make_sources(generator, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (6, HEIGHT, WIDTH, 3), dtype=np.uint8)
    condition_inputs = generator.make_conditions(IMAGES, pixels, np.random.default_rng(seed))
    decoded = DecodedBatch(np.arange(6), pixels, (), condition_inputs)
    rng = np.random.default_rng(seed)
    return prepare(decoded, FLIP_ONLY, rng, torch.device("cpu")).sources


def generate(encoder, generator, requires_grad, seed=0):
    sources = make_sources(generator, seed)
    encoded = encoder.encode(sources.images)
    encode = encode_with(encoder)
    views = generator.views(sources, encoded, encode, requires_grad, ViewOutput.FEATURES)
    return sources, encoded, views


def test_views_have_the_shape_of_their_images(scene):
    encoder, generator, count = scene
    sources, _, views = generate(encoder, generator, requires_grad=False)
    assert views.images.shape == (len(sources.images), count, 3, HEIGHT, WIDTH)
    assert views.encoded.feature.shape == (len(sources.images) * count, encoder.feature_size)


def test_diffusion_views_are_empty_unless_contrasted():
    torch.manual_seed(0)
    encoder = make_encoder()
    diffusion = make_diffusion(encoder, IMAGES)
    sources = make_sources(diffusion)
    encoded = encoder.encode(sources.images)
    views = diffusion.views(sources, encoded, encode_with(encoder), True, ViewOutput.NONE)
    assert views.images.shape[:2] == (len(sources.images), 0)
    assert views.encoded is None


def test_views_are_encoded_only_on_request(scene):
    encoder, generator, count = scene
    sources = make_sources(generator)
    encoded = encoder.encode(sources.images)
    batch_sizes = []

    def encode(*batches):
        batch_sizes.extend(len(images) for images in batches)
        return encode_with(encoder)(*batches)

    views = generator.views(sources, encoded, encode, False, ViewOutput.IMAGES)
    assert views.images.shape[:2] == (len(sources.images), count)
    assert views.encoded is None
    assert not batch_sizes


def test_views_of_a_frozen_generator_are_constants(scene):
    encoder, generator, _ = scene
    _, _, views = generate(encoder, generator, requires_grad=False)
    assert not views.images.requires_grad
    assert views.encoded.feature.requires_grad


def test_terms_are_scalars_and_absent_without_networks(scene):
    encoder, generator, _ = scene
    sources, encoded, views = generate(encoder, generator, requires_grad=True)
    terms = {
        **generator.discriminator_terms(sources, views, 0),
        **generator.generator_terms(sources, views, encoded),
    }
    trained = list(generator.networks.parameters()) + list(generator.discriminator.parameters())
    assert bool(terms) == bool(trained)
    assert all(value.ndim == 0 for value in terms.values())


def test_views_depend_on_the_seed_alone(scene):
    encoder, generator, _ = scene
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)  # as every epoch does
        results.append(generate(encoder.eval(), generator, False, seed)[2].images)
    first, same_seed, other_seed = results
    torch.testing.assert_close(first, same_seed)
    assert first.shape != other_seed.shape or not torch.allclose(first, other_seed)


def test_generator_marks_usable_images_and_previews_them(scene):
    encoder, generator, _ = scene
    without_views = make_images(7)[6:]
    if isinstance(generator, StoredViews):
        assert generator.usable([*IMAGES, *without_views]).tolist() == [True] * 6 + [False]
    assert generator.usable(IMAGES).all()
    keys = [image.key for image in IMAGES[:2]]
    encoder.eval()
    columns = generator.preview(torch.rand(2, 3, HEIGHT, WIDTH), keys, encode_with(encoder))
    assert columns.shape[0] == 2
    assert columns.shape[2:] == (3, HEIGHT, WIDTH)
    assert not columns.requires_grad
