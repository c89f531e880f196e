"""From settings to the source of views, to what draws them, and to who learns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from typing_extensions import assert_never

from reid_gen.body.model import load_body
from reid_gen.body.render.rasterisers import load_rasteriser
from reid_gen.body.render.structure_maps import StructureMaps
from reid_gen.body.table import load_table
from reid_gen.builders import gan as build_gan
from reid_gen.config import generators, schema
from reid_gen.config.consistency import views_before_training
from reid_gen.data.positive_groups import load_groups
from reid_gen.errors import UserError
from reid_gen.generators.protocol import ViewGenerator
from reid_gen.generators.renderer import ViewRenderer
from reid_gen.generators.stored import StoredViews, ViewFilter
from reid_gen.generators.turned_maps import Angles, AnyAngle, Steps, TurnedMaps
from reid_gen.models.checkpoint import (
    EMA_ENCODER,
    WEIGHTS,
    find_checkpoint,
    load_encoder,
    load_networks,
    read_card,
)
from reid_gen.models.ema_encoder import EmaEncoder
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.runtime.devices import Runtime
from reid_gen.training.step import GENERATOR, TrainableNetwork
from reid_gen.types import Dataset

if TYPE_CHECKING:
    from reid_gen.generators.gan.painter import MeshPainter
    from reid_gen.generators.pixel_diffusion.generator import DiffusionPainter

Built = tuple[ViewGenerator | None, dict[str, TrainableNetwork]]
"""A source of views, and its networks with their optimisers."""


def build_generator(
    config: schema.Config, encoder: IdentityEncoder, dataset: Dataset, device: torch.device
) -> Built:
    """The configured source of views, with the weights of the run to start from if it is alike.

    Raises:
        UserError: If bodies or groups are missing or belong to other images, weights do not fit, or
            an untrained generator would draw.
    """
    size = config.data.height, config.data.width
    built: Built
    match config.generator:
        case None:
            return None, {}
        case generators.Stored() as settings:
            view_filter = ViewFilter(
                settings.min_identity,
                settings.min_structure,
                settings.min_difference,
                settings.weight_by_identity,
            )
            groups = load_groups(settings.groups)
            return StoredViews(groups, *size, settings.members, settings.batch, view_filter), {}
        case generators.MeshGan() as settings:
            painter = build_gan.build_painter(settings, encoder, *size)
            built = build_gan.build_generator(settings, painter, _maps(config, settings, dataset))
        case generators.PixelDiffusion() as settings:
            from reid_gen.builders import pixel_diffusion as build_diffusion

            unet = build_diffusion.build_painter(settings, encoder, *size)
            maps = _maps(config, settings, dataset)
            built = build_diffusion.build_generator(settings, unet, maps)
        case _:
            assert_never(config.generator)
    networks = {name: learner.network for name, learner in built[1].items()}
    if config.start_from is not None and _has_generator(config.start_from, settings.kind):
        load_networks(config.start_from, networks, if_there=True)
    elif (stage := views_before_training(config.stages)) is not None:
        raise UserError(
            f"stage {stage.name} would contrast views of a generator that nobody has trained: "
            f"{config.start_from} holds none of kind {settings.kind}; start from a run that does, "
            "or add a stage before that trains it"
        )
    for network in networks.values():
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return built


def _has_generator(start: Path, kind: str) -> bool:
    """Whether a run trained a generator of a kind."""
    checkpoint = find_checkpoint(start)
    alike = read_card(checkpoint).get("generator") in (kind, None)
    return alike and (checkpoint / f"{GENERATOR}{WEIGHTS}").is_file()


def _maps(config: schema.Config, settings: generators.Drawn, dataset: Dataset) -> TurnedMaps:
    """Body maps of the training images."""
    rasteriser = load_rasteriser(config.body.rasteriser)
    table = load_table(settings.bodies / "train.npz")
    scores = table.of([image.key for image in dataset.train]).score
    if scores.max() < settings.min_score:
        raise UserError(
            f"none of the {len(scores)} training images has a body to trust; lower "
            "generator.min_score, or make better bodies with `reid-gen meshes`"
        )
    size = config.data.height, config.data.width
    return TurnedMaps(
        StructureMaps(table, load_body(settings.body), *size, rasteriser, settings.axis),
        settings.map,
        build_angles(settings.angles),
        settings.min_score,
        settings.batch,
    )


def build_angles(settings: generators.StepTurns | generators.AnyTurn) -> Angles:
    """The configured turns."""
    match settings:
        case generators.StepTurns():
            return Steps(settings.every, settings.last)
        case generators.AnyTurn():
            return AnyAngle(settings.min_angle)
        case _:
            assert_never(settings)


def build_ema_encoder(config: schema.Config, encoder: IdentityEncoder) -> EmaEncoder | None:
    """What the generator draws by, if not the encoder itself: the start's, if that had one."""
    settings = config.generator
    if not isinstance(settings, generators.Drawn) or settings.ema_momentum is None:
        return None
    mean = EmaEncoder(encoder, settings.ema_momentum)
    if config.start_from is not None:
        load_networks(config.start_from, {EMA_ENCODER: mean}, if_there=True)
    return mean


def build_view_renderer(config: schema.Config, checkpoint: Path) -> ViewRenderer:
    """What draws views with the networks of a run.

    Raises:
        UserError: If the run has no generator, or its weights or its rasteriser cannot be loaded.
    """
    rasteriser = load_rasteriser(config.body.rasteriser)
    size = config.data.height, config.data.width
    encoder, _ = load_encoder(checkpoint)
    painter: MeshPainter | DiffusionPainter
    match config.generator:
        case generators.MeshGan() as settings:
            painter = build_gan.build_painter(settings, encoder, *size)
        case generators.PixelDiffusion() as settings:
            from reid_gen.builders import pixel_diffusion as build_diffusion

            painter = build_diffusion.build_painter(settings, encoder, *size)
        case _:
            raise UserError(
                f"{checkpoint} has no generator; give a run that trained one, such as "
                "gcl_pedestrians"
            )
    runtime = Runtime(config.encoder.precision, settings.precision)
    if settings.ema_momentum is not None:
        mean = EmaEncoder(encoder, settings.ema_momentum)
        load_networks(checkpoint, {EMA_ENCODER: mean})
        encoder = mean.encoder
    torch.manual_seed(config.seed)
    load_networks(checkpoint, {GENERATOR: painter})
    for network in (encoder, painter):
        network.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    body = load_body(settings.body)
    return ViewRenderer(
        encoder, painter, settings.map, body, *size, runtime, rasteriser, settings.axis
    )  # fmt: skip


def build_identity(config: schema.Config, encoder: IdentityEncoder) -> dict[str, TrainableNetwork]:
    """The identity encoder with every optimiser that a stage uses, by its name."""
    parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    rate = config.stages[0].learning_rate
    made: dict[str, TrainableNetwork] = {}
    for kind in sorted({stage.optimizer for stage in config.stages}):
        optimizer: torch.optim.Optimizer
        if kind == "adam":
            optimizer = torch.optim.Adam(parameters, lr=rate, fused=True)
        else:
            optimizer = torch.optim.SGD(parameters, rate, momentum=0.9, nesterov=True, fused=True)
        made[kind] = TrainableNetwork(encoder, optimizer)
    return made
