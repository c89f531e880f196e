"""Generators on painted body maps, which hold the colours of the source images."""

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


def make_painter(encoder):
    structure = StructureEncoder(4, 4, pyramid=False)
    decoder = Decoder(32, encoder.channels, hidden=8)
    return MeshPainter(structure, decoder, encoder.mean, encoder.std, painted=True)


def test_painter_adds_the_decoder_output_to_body_colours():
    torch.manual_seed(0)
    encoder = make_encoder()
    painter = make_painter(encoder)
    for parameter in painter.decoder.out[-1].parameters():
        torch.nn.init.zeros_(parameter)  # the decoder adds nothing
    maps = torch.rand(2, 4, HEIGHT, WIDTH) * 2 - 1
    maps[:, 3] = torch.where(torch.rand(2, HEIGHT, WIDTH) > 0.5, 1.0, -1.0)
    images = painter.decode(painter.encode_maps(maps), torch.randn(2, encoder.channels, 4))
    body = (maps[:, 3:] > 0).expand(-1, 3, -1, -1)
    torch.testing.assert_close(images[body], ((maps[:, :3] + 1) / 2)[body], atol=1e-5, rtol=1e-4)
    background = encoder.mean.expand_as(images)
    torch.testing.assert_close(images[~body], background[~body])


def test_painted_maps_hold_image_colours_and_train_the_gan():
    torch.manual_seed(0)
    images = make_images(4)
    pixels = black_pixels(images)
    for number, image in enumerate(pixels):
        image[:] = 60 * number, 255 - 60 * number, 90
    encoder = make_encoder().eval()
    gan = make_gan(encoder, images)
    gan.map_renderer = make_turned_maps(images, kind="painted")
    gan.painter = gan.networks = make_painter(encoder)
    inputs = gan.make_conditions(images, pixels, np.random.default_rng(0))
    for position, unturned, turned in zip(
        inputs.batch_index, inputs.conditions["unturned"], inputs.conditions["turned"], strict=True
    ):
        colour = np.array([60 * position, 255 - 60 * position, 90]) / 127.5 - 1
        for body_map in (unturned, turned):
            body = body_map[..., 3] > 0
            assert body.any()
            np.testing.assert_allclose(body_map[body][:, :3] - colour, 0, atol=0.02)
    batch = make_batch(images)
    conditions = {
        name: torch.from_numpy(np.moveaxis(values, -1, 1).copy())
        for name, values in inputs.conditions.items()
    }
    sources = replace(batch.sources, conditions=conditions)
    encoded = encoder.encode(batch.images)
    views = gan.views(sources, encoded, encode_with(encoder), True, ViewOutput.FEATURES)
    loss = sum(gan.generator_terms(sources, views, encoded).values())
    loss.backward()
    assert all(p.grad is not None for p in gan.painter.structure.parameters())
    columns = gan.preview(batch.images, [image.key for image in images], encode_with(encoder))
    assert columns.shape == (4, 9, 3, HEIGHT, WIDTH)


def test_painted_maps_are_flipped_with_their_image():
    """The map of a flipped image is flipped after painting, so left and right colours agree."""
    images = make_images(2)
    pixels = black_pixels(images)
    pixels[:, :, : WIDTH // 2, 0], pixels[:, :, WIDTH // 2 :, 2] = 200, 200
    maps = make_turned_maps(images, kind="painted")
    condition_inputs = maps(images, pixels, np.random.default_rng(0))
    decoded = DecodedBatch(np.arange(2), pixels, (), condition_inputs)
    for flip in (0, 1):
        augmentation = Augmentation(flip, pad=0, erase=0, fill=(0, 0, 0))
        batch = prepare(decoded, augmentation, np.random.default_rng(0), torch.device("cpu"))
        unturned = batch.sources.conditions["unturned"]
        for image, body_map in zip(batch.sources.images, unturned, strict=True):
            body = body_map[3] > 0
            body[:, WIDTH // 2 - 2 : WIDTH // 2 + 2] = False  # the colours meet there
            for side in (slice(None, WIDTH // 2), slice(WIDTH // 2, None)):
                actual = ((body_map[:3] + 1) / 2)[:, :, side][:, body[:, side]]
                assert actual.shape[1] > 50
                expected = image[:, :, side][:, body[:, side]]
                assert (actual - expected).abs().mean() < 0.05
