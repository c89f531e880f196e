"""From settings to GCL's generator: structure encoder, decoder, discriminators."""

from __future__ import annotations

from functools import partial

import torch

from reid_gen.body.render.map_kinds import MAP_KINDS
from reid_gen.builders.protocol import BuiltGenerator
from reid_gen.builders.turned_maps import build_turned_maps
from reid_gen.config import generators, schema
from reid_gen.errors import UserError
from reid_gen.generators.gan.decoder import Decoder
from reid_gen.generators.gan.discriminator import MultiScaleDiscriminator
from reid_gen.generators.gan.generator import MeshGan
from reid_gen.generators.gan.mixup import Mixup
from reid_gen.generators.gan.painter import MeshPainter
from reid_gen.generators.gan.structure_encoder import StructureEncoder
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.training.step import DISCRIMINATOR, GENERATOR, TrainableNetwork
from reid_gen.types import Dataset


def build_painter(
    settings: generators.MeshGan, encoder: IdentityEncoder, height: int, width: int
) -> MeshPainter:
    """Build structure encoder and decoder with fresh weights.

    Raises:
        UserError: If they cannot generate images of this size: they downsample it twice, and the
            pyramid's largest dilation is 9.
    """
    pyramid = settings.structure.pyramid
    min_side = 40 if pyramid else 8
    if height % 4 or width % 4 or min(height, width) < min_side:
        raise UserError(
            f"the generator does not support {height} x {width} pixels: data.height and data.width "
            f"must be multiples of 4 and at least {min_side}"
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
    painted = MAP_KINDS[settings.map].textured
    return MeshPainter(structure, decoder, encoder.mean, encoder.std, painted, settings.stripes)


def build_generator(
    config: schema.Config,
    settings: generators.MeshGan,
    encoder: IdentityEncoder,
    dataset: Dataset,
) -> BuiltGenerator:
    """Build the generator, and generator and discriminator with their optimisers.

    Raises:
        UserError: If it cannot generate images of this size, or bodies are missing or do not fit.
    """
    painter = build_painter(settings, encoder, config.data.height, config.data.width)
    maps = build_turned_maps(config, settings, dataset)
    discriminator = MultiScaleDiscriminator(
        settings.discriminator.width,
        settings.discriminator.blocks,
        settings.discriminator.scales,
        settings.padding,
        settings.gradient_checkpointing,
    )
    generator = MeshGan(
        painter,
        discriminator,
        maps,
        feature_of_view=settings.feature_of_view,
        penalty_every=settings.discriminator.penalty_every,
        mixup=None if settings.mixup_alpha is None else Mixup(settings.mixup_alpha),
        body_weight=settings.body_weight,
        train_batch=settings.train_batch,
    )
    networks = {GENERATOR: painter, DISCRIMINATOR: discriminator}
    adam = partial(
        torch.optim.Adam, betas=(0.0, 0.999), weight_decay=settings.weight_decay, fused=True
    )
    return generator, {
        name: TrainableNetwork(network, adam(network.parameters()))
        for name, network in networks.items()
    }
