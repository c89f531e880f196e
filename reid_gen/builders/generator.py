"""From settings to the generator of views, and to a renderer of views with its networks."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from reid_gen.body.model import load_body
from reid_gen.body.render.rasterisers import load_rasteriser
from reid_gen.builders.protocol import GeneratorBuilder, PainterBuilder
from reid_gen.builders.warm_start import WarmStart
from reid_gen.config import generators, schema
from reid_gen.config.consistency import views_before_training
from reid_gen.errors import UserError
from reid_gen.extras import need
from reid_gen.generators.protocol import ViewGenerator
from reid_gen.generators.renderer import ViewRenderer
from reid_gen.models.checkpoint import EMA_ENCODER, load_encoder, load_networks
from reid_gen.models.ema_encoder import EmaEncoder
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.runtime.devices import Runtime
from reid_gen.training.step import GENERATOR, TrainableNetwork
from reid_gen.types import Dataset

BUILDERS: dict[type[Any], tuple[str, tuple[str, ...]]] = {
    generators.MeshGan: ("gan", ()),
    generators.PixelDiffusion: ("pixel_diffusion", ("diffusers",)),
    generators.Stored: ("stored", ()),
}
"""Settings of a generator -> module of this package that builds it, and optional packages that it
needs; it is imported when it is used."""


def build_generator(
    config: schema.Config,
    encoder: IdentityEncoder,
    dataset: Dataset,
    device: torch.device,
    start: WarmStart,
) -> tuple[ViewGenerator | None, dict[str, TrainableNetwork]]:
    """Build the configured generator and its networks with their optimisers.

    Raises:
        UserError: If bodies or groups are missing or belong to other images, weights do not fit, or
            a stage would contrast views of an untrained generator.
    """
    settings = config.generator
    if settings is None:
        return None, {}
    builder: GeneratorBuilder = _builder(settings)
    generator, trainable = builder.build_generator(config, settings, encoder, dataset)
    networks = {name: entry.network for name, entry in trainable.items()}
    untrained = bool(networks) and not start.load_generator(networks, settings.kind)
    if untrained and (stage := views_before_training(config.stages)) is not None:
        raise UserError(
            f"stage {stage.name} would contrast views of an untrained generator: "
            f"{start.run} holds none of kind {settings.kind}; start from a run that does, "
            "or add a stage before it that trains the generator"
        )
    for network in networks.values():
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return generator, trainable


def _builder(settings: object) -> Any:
    module, packages = BUILDERS[type(settings)]
    need(f"generator {module}", *packages)
    return import_module(f"{__package__}.{module}")


def build_view_renderer(config: schema.Config, checkpoint: Path) -> ViewRenderer:
    """Build the renderer of views that uses the networks of a run.

    Args:
        config: Settings of the run.
        checkpoint: Its checkpoint folder.

    Raises:
        UserError: If the run has no generator, or its weights or its rasteriser cannot be loaded.
    """
    settings = config.generator
    rasteriser = load_rasteriser(config.body.rasteriser)
    if not isinstance(settings, generators.BodyConditioned):
        raise UserError(
            f"{checkpoint} has no generator; give a run that trained one, such as gcl_pedestrians"
        )
    size = config.data.height, config.data.width
    encoder, _ = load_encoder(checkpoint)
    builder: PainterBuilder = _builder(settings)
    painter: Any = builder.build_painter(settings, encoder, *size)
    runtime = Runtime(config.encoder.precision, settings.precision)
    if settings.ema_momentum is not None:
        ema_encoder = EmaEncoder(encoder, settings.ema_momentum)
        load_networks(checkpoint, {EMA_ENCODER: ema_encoder})
        encoder = ema_encoder.encoder
    torch.manual_seed(config.seed)
    load_networks(checkpoint, {GENERATOR: painter})
    for network in (encoder, painter):
        network.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    body = load_body(settings.body)
    return ViewRenderer(
        encoder, painter, settings.map, body, *size, runtime, rasteriser, settings.axis
    )  # fmt: skip
