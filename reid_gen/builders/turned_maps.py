"""From settings to body maps of the training images, turned by random angles."""

from __future__ import annotations

from typing_extensions import assert_never

from reid_gen.body.model import load_body
from reid_gen.body.render.body_maps import BodyMapRenderer
from reid_gen.body.render.rasterisers import load_rasteriser
from reid_gen.body.table import load_table
from reid_gen.config import generators, schema
from reid_gen.errors import UserError
from reid_gen.generators.turned_maps import Angles, AnyAngle, Steps, TurnedMaps
from reid_gen.types import Dataset


def build_turned_maps(
    config: schema.Config, settings: generators.BodyConditioned, dataset: Dataset
) -> TurnedMaps:
    """Build the body maps of the training images.

    Raises:
        UserError: If bodies are missing, belong to other images, or all score too low.
    """
    rasteriser = load_rasteriser(config.body.rasteriser)
    table = load_table(settings.bodies / "train.npz")
    scores = table.select([image.key for image in dataset.train]).score
    if scores.max() < settings.min_score:
        raise UserError(
            f"none of the {len(scores)} training images has a body that scores "
            f"{settings.min_score} or more; lower generator.min_score, or estimate better bodies "
            "with `reid-gen meshes`"
        )
    size = config.data.height, config.data.width
    return TurnedMaps(
        BodyMapRenderer(table, load_body(settings.body), *size, rasteriser, settings.axis),
        settings.map,
        build_angles(settings.angles),
        settings.min_score,
        settings.batch,
    )


def build_angles(settings: generators.StepTurns | generators.AnyTurn) -> Angles:
    """Build the distribution of turning angles."""
    match settings:
        case generators.StepTurns():
            return Steps(settings.every, settings.last)
        case generators.AnyTurn():
            return AnyAngle(settings.min_angle)
        case _:
            assert_never(settings)
