"""``reid-gen evaluate``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.cli.command import Command
from reid_gen.cli.options import FORCE, INPUT, JSON, KEEP_SAME_IMAGE, MODEL_PATH, PICTURE
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.config.schema import Config
    from reid_gen.evaluation.evaluator import Evaluator
    from reid_gen.models.encoder import FeatureExtractor
    from reid_gen.types import Float32Array, Image, Int64Array


@click.command(cls=Command)
@click.option("--config", type=INPUT, help="Configuration; RUN's own if left out.")
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Override a setting.")
@click.option(
    "--checkpoint",
    type=MODEL_PATH,
    help="Run folder, checkpoint folder or weight file; left out: the start weights of the config.",
)
@click.option("--rerank", is_flag=True, help="Measure k-reciprocal re-ranking too.")
@click.option(
    "--temporal", is_flag=True, help="Rank by camera and time too (JVTC+); needs a run's clusters."
)
@click.option(
    "--nfc", is_flag=True, help="Draw features to their mutual nearest neighbours (Pose2ID's NFC)."
)
@click.option(
    "--turned", is_flag=True, help="Add features of eight views by the run's generator (Pose2ID)."
)
@click.option("--flip", is_flag=True, help="Average features with those of the mirrored image.")
@click.option("--sheet", type=PICTURE, help="Draw ranked lists into a .png or .jpg.")
@KEEP_SAME_IMAGE
@JSON
@FORCE
def evaluate(
    config: Path | None,
    overrides: tuple[str, ...],
    checkpoint: Path | None,
    rerank: bool,
    temporal: bool,
    nfc: bool,
    turned: bool,
    flip: bool,
    sheet: Path | None,
    keep_same_image: bool,
    output: Path | None,
) -> None:
    """Measure CMC, mAP and mINP on query and gallery.

    Example: reid-gen evaluate --checkpoint runs/baseline_market_small --rerank
    """
    if checkpoint is None:
        _refuse_runless(config, temporal, turned)

    from reid_gen.config.load import load_config
    from reid_gen.report.sheets import ranked_sheet

    told = Results(output)
    if rerank:
        overrides = (*overrides, "evaluation.rerank=true")
    if flip:
        overrides = (*overrides, "evaluation.flip=true")
    settings = load_config(config or _own(checkpoint), overrides)
    INPUT.refuse_missing(settings.data.root, "data.root")

    from reid_gen.evaluation.feature_centralisation import NFC, TURNED, by_neighbours
    from reid_gen.evaluation.tables import results_table

    evaluator, encode = _build(settings, checkpoint)
    evaluator = replace(evaluator, keep_same_image=keep_same_image)
    features = evaluator.features(encode)
    results = evaluator.score(*features)
    if temporal:
        results += (evaluator.score_with_time(*features, *_clusters(settings, checkpoint)),)
    if nfc:
        results += (evaluator.score_as(NFC, *map(by_neighbours, features)),)
    if turned:
        results += (evaluator.score_as(TURNED, *_with_views(checkpoint, evaluator, features)),)
    told.say(results_table(results))
    told.write([result.as_dict() for result in results])
    if sheet is not None:
        pixels = ranked_sheet(
            evaluator.query, evaluator.gallery, *features, same_image=evaluator.same_image
        )
        told.draw(pixels, sheet, "ranked lists of some queries")


def _refuse_runless(config: Path | None, temporal: bool, turned: bool) -> None:
    """See that nothing is missing that only a run has.

    Raises:
        UsageError: If so.
    """
    if config is None:
        raise click.UsageError("give --config FILE, --checkpoint RUN or both")
    if temporal:
        raise click.UsageError(
            "--temporal learns times from the clusters of a run; give --checkpoint RUN"
        )
    if turned:
        raise click.UsageError(
            "--turned draws views with the generator of a run; give --checkpoint RUN"
        )


def _own(run: Path | None) -> Path:
    """The configuration of a run."""
    from reid_gen.models.weight_files import checkpoint_folder
    from reid_gen.training.run_folder import CONFIG

    assert run is not None
    return checkpoint_folder(run).parent / CONFIG


def _build(config: Config, checkpoint: Path | None) -> tuple[Evaluator, FeatureExtractor]:
    import torch

    from reid_gen.builders.experiment import build_evaluator, encoder_card
    from reid_gen.data.datasets import load_dataset
    from reid_gen.models.checkpoint import load_encoder_for
    from reid_gen.models.encoder import create_encoder
    from reid_gen.runtime.devices import Runtime
    from reid_gen.runtime.progress import Terminal

    evaluator = build_evaluator(
        config, load_dataset(config.data.name, config.data.root), Terminal()
    )
    torch.manual_seed(config.seed)
    card = encoder_card(config)
    encoder = (
        create_encoder(card, config.encoder.weights)
        if checkpoint is None
        else load_encoder_for(card, checkpoint, "use its own configuration (leave --config out)")
    )
    return evaluator, Runtime(config.encoder.precision).encoder(encoder)


def _clusters(config: Config, checkpoint: Path | None) -> tuple[tuple[Image, ...], Int64Array]:
    """Training images and their pseudo labels in the last epoch of a run."""
    from reid_gen.data.datasets import load_dataset
    from reid_gen.errors import UserError
    from reid_gen.models.checkpoint import load_labels

    assert checkpoint is not None
    images = load_dataset(config.data.name, config.data.root).train
    labels = load_labels(checkpoint)
    if len(labels) != len(images):
        raise UserError(
            f"{checkpoint} clustered {len(labels)} training images and {config.data.root} has "
            f"{len(images)}; evaluate the run on its own data set"
        )
    return images, labels


def _with_views(
    checkpoint: Path | None, evaluator: Evaluator, features: tuple[Float32Array, Float32Array]
) -> list[Float32Array]:
    """Features of query and gallery with those of views by a run's generator."""
    from reid_gen.body.table import load_table
    from reid_gen.cli.views import open_run
    from reid_gen.evaluation.feature_centralisation import by_views
    from reid_gen.generators.turned_maps import TURNS

    assert checkpoint is not None
    *_, drawn, renderer = open_run(checkpoint)
    splits = {"query": evaluator.query, "gallery": evaluator.gallery}
    return [
        by_views(
            own, renderer.features(split.images, load_table(drawn.bodies / f"{name}.npz"), TURNS)
        )
        for own, (name, split) in zip(features, splits.items(), strict=True)
    ]
