"""From settings to a diffusion generator; imported only where one is configured."""

from __future__ import annotations

import torch

from reid_gen.body.render.map_kinds import MAP_KINDS, PAINTED
from reid_gen.config import generators
from reid_gen.errors import UserError
from reid_gen.generators.pixel_diffusion.generator import DiffusionPainter, PixelDiffusion
from reid_gen.generators.pixel_diffusion.sampler import Guidance
from reid_gen.generators.pixel_diffusion.unet import PersonUNet
from reid_gen.generators.turned_maps import TurnedMaps
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.training.step import GENERATOR, TrainableNetwork


def build_painter(
    settings: generators.PixelDiffusion, encoder: IdentityEncoder, height: int, width: int
) -> DiffusionPainter:
    """What draws, with fresh weights.

    Raises:
        UserError: If it cannot halve images of this size as often as it must.
    """
    multiple = settings.patch_size * 2 ** (len(settings.widths) - 1)
    if height % multiple or width % multiple:
        raise UserError(
            f"the generator cannot draw {height} x {width} pixels: data.height and data.width must "
            f"be multiples of {multiple} (generator.patch_size, doubled per level of "
            "generator.widths)"
        )
    unet = PersonUNet(
        height,
        width,
        MAP_KINDS[settings.map].channels,
        encoder.channels,
        encoder.feature_size,
        settings.widths,
        settings.layers,
        settings.patch_size,
        settings.heads,
        settings.cross_attention_dim,
        settings.map == PAINTED,
    )
    guidance = Guidance(settings.body_guidance, settings.person_guidance)
    return DiffusionPainter(unet, settings.ema_decay, guidance, settings.steps)


def build_generator(
    settings: generators.PixelDiffusion, painter: DiffusionPainter, maps: TurnedMaps
) -> tuple[PixelDiffusion, dict[str, TrainableNetwork]]:
    """The generator, and its network with its optimiser; the average is saved, not trained."""
    decay = settings.weight_decay
    adam = torch.optim.AdamW(painter.unet.parameters(), weight_decay=decay, fused=True)
    return PixelDiffusion(painter, maps, settings.condition_dropout), {
        GENERATOR: TrainableNetwork(painter, adam)
    }
