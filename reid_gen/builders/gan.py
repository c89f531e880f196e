"""From settings to GCL's generator."""

from __future__ import annotations

import torch

from reid_gen.body.render.map_kinds import MAP_KINDS, PAINTED
from reid_gen.config import generators
from reid_gen.errors import UserError
from reid_gen.generators.gan.decoder import Decoder
from reid_gen.generators.gan.discriminator import MultiScaleDiscriminator
from reid_gen.generators.gan.generator import MeshGan
from reid_gen.generators.gan.mixup import Mixup
from reid_gen.generators.gan.painter import MeshPainter
from reid_gen.generators.gan.structure_encoder import StructureEncoder
from reid_gen.generators.turned_maps import TurnedMaps
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.training.step import DISCRIMINATOR, GENERATOR, TrainableNetwork


def build_painter(
    settings: generators.MeshGan, encoder: IdentityEncoder, height: int, width: int
) -> MeshPainter:
    """What draws, with fresh weights.

    Raises:
        UserError: If it cannot draw images of this size: it halves them twice, and its pyramid
            looks 9 places far.
    """
    pyramid = settings.structure.pyramid
    least = 40 if pyramid else 8
    if height % 4 or width % 4 or min(height, width) < least:
        raise UserError(
            f"the generator cannot draw {height} x {width} pixels: data.height and data.width must "
            f"be multiples of 4 and at least {least}"
            + ("; generator.structure.pyramid: false needs 8" if pyramid else "")
        )
    channels = MAP_KINDS[settings.map].channels
    padding = settings.padding
    structure = StructureEncoder(channels, **settings.structure.model_dump(), padding=padding)
    hidden = settings.decoder.hidden
    decoder = Decoder(
        structure.out_channels,
        encoder.channels,
        hidden=hidden,
        padding=padding,
        gradient_checkpointing=settings.gradient_checkpointing,
    )
    painted = settings.map == PAINTED
    return MeshPainter(structure, decoder, encoder.mean, encoder.std, painted, settings.stripes)


def build_generator(
    settings: generators.MeshGan, painter: MeshPainter, maps: TurnedMaps
) -> tuple[MeshGan, dict[str, TrainableNetwork]]:
    """The generator, and its networks with their optimisers."""
    judge = settings.discriminator
    generator = MeshGan(
        painter,
        MultiScaleDiscriminator(
            judge.width,
            judge.blocks,
            judge.scales,
            settings.padding,
            settings.gradient_checkpointing,
        ),
        maps,
        feature_of_view=settings.feature_of_view,
        penalty_every=judge.penalty_every,
        mixup=None if settings.mixup_alpha is None else Mixup(settings.mixup_alpha),
        body_weight=settings.body_weight,
        train_batch=settings.train_batch,
    )
    networks = {GENERATOR: painter, DISCRIMINATOR: generator.discriminator}
    decay = settings.weight_decay
    return generator, {
        name: TrainableNetwork(
            network,
            torch.optim.Adam(
                network.parameters(), betas=(0.0, 0.999), weight_decay=decay, fused=True
            ),
        )
        for name, network in networks.items()
    }
