"""From settings to the generator and to who learns."""

from __future__ import annotations

from pathlib import Path

import torch
from typing_extensions import assert_never

from reid_gen.body.model import load_body
from reid_gen.body.structure import KINDS
from reid_gen.body.table import load_table
from reid_gen.body.views import StructureMaps
from reid_gen.config import generators, schema
from reid_gen.data.groups import load_groups
from reid_gen.engine.artist import Artist
from reid_gen.engine.checkpoint import load_encoder, load_networks
from reid_gen.engine.runtime import Runtime
from reid_gen.engine.steps import DISCRIMINATOR, GENERATOR, Learner
from reid_gen.errors import UserError
from reid_gen.generators.gan.mesh_gan import MeshGan
from reid_gen.generators.gan.mixing import Mixing
from reid_gen.generators.gan.painter import Painter
from reid_gen.generators.gan.turns import Angles, AnyAngle, Steps, TurnedMaps
from reid_gen.generators.protocol import ViewGenerator
from reid_gen.generators.stored import StoredViews
from reid_gen.models.decoder import Decoder
from reid_gen.models.discriminator import MultiScaleDiscriminator
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.models.structure import StructureEncoder
from reid_gen.types import Dataset


def build_generator(
    config: schema.Config, encoder: IdentityEncoder, dataset: Dataset, device: torch.device
) -> ViewGenerator | None:
    """The configured source of views, with the weights of the run to start from if it has some.

    Raises:
        UserError: If bodies are missing or belong to other images, or weights do not fit.
    """
    match config.generator:
        case None:
            return None
        case generators.Stored() as settings:
            size = config.data.height, config.data.width
            groups = load_groups(settings.groups)
            return StoredViews(
                groups, *size, settings.members, settings.batch, settings.least_identity
            )
        case generators.MeshGan() as settings:
            return _trained_gan(config, settings, encoder, dataset, device)
        case _:
            assert_never(config.generator)


def _trained_gan(
    config: schema.Config,
    settings: generators.MeshGan,
    encoder: IdentityEncoder,
    dataset: Dataset,
    device: torch.device,
) -> MeshGan:
    _check_size(config.data, settings)
    table = load_table(settings.bodies / "train.npz")
    scores = table.of([image.key for image in dataset.train]).score
    if scores.max() < settings.least_score:
        raise UserError(
            f"none of the {len(scores)} training images has a body to trust; lower "
            "generator.least_score, or make better bodies with `reid-gen meshes`"
        )
    maps = StructureMaps(table, load_body(settings.body), config.data.height, config.data.width)
    generator = mesh_gan(settings, encoder, maps)
    networks = {GENERATOR: generator.networks, DISCRIMINATOR: generator.discriminator}
    if config.start_from is not None:
        load_networks(config.start_from, networks, if_there=True)
    for network in networks.values():
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return generator


def _check_size(data: schema.Data, settings: generators.MeshGan) -> None:
    """Refuse images that the networks cannot take: they halve twice, then look 9 pixels far."""
    least = 40 if settings.structure.pyramid else 8
    if data.height % 4 or data.width % 4 or min(data.height, data.width) < least:
        raise UserError(
            f"the generator cannot draw {data.height} x {data.width} pixels: data.height and "
            f"data.width must be multiples of 4 and at least {least}"
            + ("; generator.structure.pyramid: false needs 8" if least == 40 else "")
        )


def mesh_gan(
    settings: generators.MeshGan, encoder: IdentityEncoder, maps: StructureMaps
) -> MeshGan:
    """GCL's generator with fresh networks."""
    judge = settings.discriminator
    angles = build_angles(settings.angles)
    return MeshGan(
        build_painter(settings, encoder),
        MultiScaleDiscriminator(judge.width, judge.blocks, judge.scales),
        TurnedMaps(maps, settings.map, angles, settings.least_score, settings.batch),
        feature_of_view=settings.feature_of_view,
        penalty_every=judge.penalty_every,
        mixing=None if settings.mix is None else Mixing(settings.mix),
    )


def build_painter(settings: generators.MeshGan, encoder: IdentityEncoder) -> Painter:
    """What draws, with fresh weights."""
    structure = StructureEncoder(KINDS[settings.map].channels, **settings.structure.model_dump())
    decoder = Decoder(structure.out_channels, encoder.channels, hidden=settings.decoder.hidden)
    return Painter(structure, decoder, encoder.mean, encoder.std, settings.stripes)


def build_artist(config: schema.Config, checkpoint: Path) -> Artist:
    """What draws views with the networks of a run.

    Raises:
        UserError: If the run has no generator, or its weights cannot be loaded.
    """
    if not isinstance(config.generator, generators.MeshGan):
        raise UserError(
            f"{checkpoint} has no generator; give a run that trained one, such as gcl_pedestrians"
        )
    runtime = Runtime(config.encoder.precision, config.generator.precision)
    encoder, card = load_encoder(checkpoint)
    painter = build_painter(config.generator, encoder)
    load_networks(checkpoint, {GENERATOR: painter})
    for network in (encoder, painter):
        network.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    body = load_body(config.generator.body)
    size = card.height, card.width
    return Artist(encoder, painter, config.generator.map, body, *size, runtime)


def build_angles(settings: generators.StepTurns | generators.AnyTurn) -> Angles:
    """The configured turns."""
    match settings:
        case generators.StepTurns():
            return Steps(settings.every, settings.last)
        case generators.AnyTurn():
            return AnyAngle(settings.least)
        case _:
            assert_never(settings)


def build_identity(config: schema.Config, encoder: IdentityEncoder) -> dict[str, Learner]:
    """The identity encoder with every optimiser that a stage uses, by its name."""
    parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    rate = config.stages[0].learning_rate
    made: dict[str, Learner] = {}
    for kind in sorted({stage.optimizer for stage in config.stages}):
        optimizer: torch.optim.Optimizer
        if kind == "adam":
            optimizer = torch.optim.Adam(parameters, lr=rate, fused=True)
        else:
            optimizer = torch.optim.SGD(parameters, rate, momentum=0.9, nesterov=True, fused=True)
        made[kind] = Learner(encoder, optimizer)
    return made


def build_learners(config: schema.Config, generator: ViewGenerator | None) -> dict[str, Learner]:
    """Generator and discriminator with their optimisers, if there is anything to train."""
    settings = config.generator
    if generator is None or not isinstance(settings, generators.MeshGan):
        return {}
    return {
        name: Learner(
            network,
            torch.optim.Adam(
                network.parameters(),
                betas=(0.0, 0.999),
                weight_decay=settings.weight_decay,
                fused=True,
            ),
        )
        for name, network in (
            (GENERATOR, generator.networks),
            (DISCRIMINATOR, generator.discriminator),
        )
    }
