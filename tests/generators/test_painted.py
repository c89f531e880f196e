"""Generators on bodies that bear the colours of their images."""

from dataclasses import replace

import numpy as np
import torch

from reid_gen.data.loaders import DecodedBatch
from reid_gen.data.transforms import Augmentation
from reid_gen.generators.gan.decoder import Decoder
from reid_gen.generators.gan.painter import MeshPainter
from reid_gen.generators.gan.structure_encoder import StructureEncoder
from reid_gen.generators.protocol import ViewOutput
from reid_gen.training.batch import prepare
from tests.generators.scenes import (
    HEIGHT,
    WIDTH,
    black_pixels,
    encode_with,
    make_batch,
    make_encoder,
    make_gan,
    make_images,
    make_turned_maps,
)


def painter_of(encoder):
    structure = StructureEncoder(4, 4, pyramid=False)
    decoder = Decoder(32, encoder.channels, hidden=8)
    return MeshPainter(structure, decoder, encoder.mean, encoder.std, painted=True)


def test_what_is_drawn_begins_with_the_colours_on_the_body():
    torch.manual_seed(0)
    encoder = make_encoder()
    painter = painter_of(encoder)
    for parameter in painter.decoder.out[-1].parameters():
        torch.nn.init.zeros_(parameter)  # the decoder adds nothing
    maps = torch.rand(2, 4, HEIGHT, WIDTH) * 2 - 1
    maps[:, 3] = torch.where(torch.rand(2, HEIGHT, WIDTH) > 0.5, 1.0, -1.0)
    drawn = painter.decode(painter.encode_maps(maps), torch.randn(2, encoder.channels, 4))
    body = (maps[:, 3:] > 0).expand(-1, 3, -1, -1)
    torch.testing.assert_close(drawn[body], ((maps[:, :3] + 1) / 2)[body], atol=1e-5, rtol=1e-4)
    nothing = encoder.mean.expand_as(drawn)
    torch.testing.assert_close(drawn[~body], nothing[~body])


def test_maps_bring_the_colours_of_the_images_and_the_generator_learns_on_them():
    torch.manual_seed(0)
    images = make_images(4)
    pixels = black_pixels(images)
    for number, picture in enumerate(pixels):
        picture[:] = 60 * number, 255 - 60 * number, 90
    encoder = make_encoder().eval()
    gan = make_gan(encoder, images)
    gan.maps = make_turned_maps(images, kind="painted")
    gan.painter = gan.networks = painter_of(encoder)
    condition_inputs = gan.make_conditions(images, pixels, np.random.default_rng(0))
    for place, here, turned in zip(
        condition_inputs.batch_index,
        condition_inputs.conditions["unturned"],
        condition_inputs.conditions["turned"],
        strict=True,
    ):
        colour = np.array([60 * place, 255 - 60 * place, 90]) / 127.5 - 1
        for drawn in (here, turned):
            body = drawn[..., 3] > 0
            assert body.any()
            np.testing.assert_allclose(drawn[body][:, :3] - colour, 0, atol=0.02)
    batch = make_batch(images)
    maps = {
        name: torch.from_numpy(np.moveaxis(values, -1, 1).copy())
        for name, values in condition_inputs.conditions.items()
    }
    sources = replace(batch.sources, conditions=maps)
    seen = encoder.encode(batch.images)
    views = gan.views(sources, seen, encode_with(encoder), True, ViewOutput.FEATURES)
    total = sum(gan.generator_terms(sources, views, seen).values())
    total.backward()
    assert all(p.grad is not None for p in gan.painter.structure.parameters())
    shown = gan.preview(batch.images, [image.key for image in images], encode_with(encoder))
    assert shown.shape == (4, 9, 3, HEIGHT, WIDTH)


def test_painted_maps_bear_the_colours_of_their_own_side():
    """Also of a mirrored image: its map is mirrored with it, and not painted from the mirror."""
    images = make_images(2)
    pixels = black_pixels(images)
    pixels[:, :, : WIDTH // 2, 0], pixels[:, :, WIDTH // 2 :, 2] = 200, 200
    maps = make_turned_maps(images, kind="painted")
    condition_inputs = maps(images, pixels, np.random.default_rng(0))
    decoded = DecodedBatch(np.arange(2), pixels, (), condition_inputs)
    for flip in (0, 1):
        changes = Augmentation(flip, pad=0, erase=0, fill=(0, 0, 0))
        batch = prepare(decoded, changes, np.random.default_rng(0), torch.device("cpu"))
        for image, here in zip(
            batch.sources.images, batch.sources.conditions["unturned"], strict=True
        ):
            body = here[3] > 0
            body[:, WIDTH // 2 - 2 : WIDTH // 2 + 2] = False  # colours meet there
            for side in (slice(None, WIDTH // 2), slice(WIDTH // 2, None)):
                shown = ((here[:3] + 1) / 2)[:, :, side][:, body[:, side]]
                assert shown.shape[1] > 50
                wanted = image[:, :, side][:, body[:, side]]
                assert (shown - wanted).abs().mean() < 0.05
