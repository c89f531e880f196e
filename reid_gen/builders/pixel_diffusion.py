"""From settings to the pixel diffusion model; imported only if one is configured."""

from __future__ import annotations

import torch

from reid_gen.body.render.map_kinds import MAP_KINDS
from reid_gen.builders.protocol import BuiltGenerator
from reid_gen.builders.turned_maps import build_turned_maps
from reid_gen.config import generators, schema
from reid_gen.errors import UserError
from reid_gen.generators.pixel_diffusion.generator import DiffusionPainter, PixelDiffusion
from reid_gen.generators.pixel_diffusion.sampler import Guidance
from reid_gen.generators.pixel_diffusion.unet import PersonUNet
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.training.step import GENERATOR, TrainableNetwork
from reid_gen.types import Dataset


def build_painter(
    settings: generators.PixelDiffusion, encoder: IdentityEncoder, height: int, width: int
) -> DiffusionPainter:
    """Build the denoising U-Net, its EMA and its sampler with fresh weights.

    Raises:
        UserError: If the U-Net cannot downsample images of this size as often as it has levels.
    """
    multiple = settings.patch_size * 2 ** (len(settings.widths) - 1)
    if height % multiple or width % multiple:
        raise UserError(
            f"the generator does not support {height} x {width} pixels: data.height and data.width "
            f"must be multiples of {multiple} (generator.patch_size, doubled per level of "
            "generator.widths)"
        )
    unet = PersonUNet(
        height,
        width,
        MAP_KINDS[settings.map].channels,
        encoder.channels,
        encoder.feature_size,
        widths=settings.widths,
        layers=settings.layers,
        patch_size=settings.patch_size,
        heads=settings.heads,
        cross_attention_dim=settings.cross_attention_dim,
        painted=MAP_KINDS[settings.map].textured,
    )
    guidance = Guidance(settings.body_guidance, settings.person_guidance)
    return DiffusionPainter(unet, settings.ema_decay, guidance, settings.steps)


def build_generator(
    config: schema.Config,
    settings: generators.PixelDiffusion,
    encoder: IdentityEncoder,
    dataset: Dataset,
) -> BuiltGenerator:
    """Build the generator, and its U-Net with its optimiser; the EMA is saved, not trained.

    Raises:
        UserError: If it cannot generate images of this size, or bodies are missing or do not fit.
    """
    painter = build_painter(settings, encoder, config.data.height, config.data.width)
    maps = build_turned_maps(config, settings, dataset)
    decay = settings.weight_decay
    optimizer = torch.optim.AdamW(painter.unet.parameters(), weight_decay=decay, fused=True)
    return PixelDiffusion(painter, maps, settings.condition_dropout), {
        GENERATOR: TrainableNetwork(painter, optimizer)
    }
