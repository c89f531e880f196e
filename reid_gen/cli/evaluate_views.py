"""``reid-gen evaluate-views``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.cli.command import Command
from reid_gen.cli.options import (
    ANGLES,
    COUNT_RANGE,
    FORCE,
    INPUT,
    JSON,
    MODEL_PATH,
    PICTURE,
    RASTERISER,
)
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.config.schema import Config
    from reid_gen.evaluation.view_evaluator import Truth
    from reid_gen.models.encoder import FeatureExtractor


@click.command("evaluate-views", cls=Command)
@click.argument("run", type=MODEL_PATH)
@click.option("--degrees", type=ANGLES, default="90,180,270", show_default=True, help="Turns.")
@click.option(
    "--queries", type=COUNT_RANGE, default=200, show_default=True, help="Query images turned."
)
@click.option(
    "--judge", type=MODEL_PATH, help="Run whose encoder says who is who; else RUN's start weights."
)
@click.option(
    "--inception", type=INPUT, help="inception-2015-12-05.pt: measure FID with it, not the judge."
)
@click.option(
    "--sheet", type=PICTURE, help="Draw some queries, their views and the true ones: .png or .jpg."
)
@RASTERISER
@JSON
@FORCE
def evaluate_views(
    run: Path,
    degrees: tuple[float, ...],
    queries: int,
    judge: Path | None,
    inception: Path | None,
    sheet: Path | None,
    rasteriser: str | None,
    output: Path | None,
) -> None:
    """Measure the views that RUN's generator draws of query images.

    Each score stands beside those of the input image itself and of the mean of the person's gallery
    images, and, on rendered pedestrians, of the true turned view.

    Example: reid-gen evaluate-views runs/gcl_pedestrians --json views.json
    """
    import numpy as np

    from reid_gen.body.table import load_table
    from reid_gen.cli.views import open_run
    from reid_gen.data.datasets import labelled_splits, load_dataset
    from reid_gen.evaluation.inception import load_inception
    from reid_gen.evaluation.view_evaluator import ViewEvaluator, some_queries, views_table

    told = Results(output)
    checkpoint, config, drawn, renderer = open_run(run, {"body.rasteriser": rasteriser})
    dataset = load_dataset(config.data.name, config.data.root)
    query, gallery = labelled_splits(dataset)
    recognise = _judge(config, judge)
    evaluator = ViewEvaluator(
        query=some_queries(query, queries),
        gallery=gallery,
        table=load_table(drawn.bodies / "query.npz"),
        judge=recognise,
        features=recognise if inception is None else load_inception(inception),
        truth=_truth(config),
        degrees=np.array(degrees, np.float32),
        cache=checkpoint.parent / "statistics",
        features_name=_name(inception or judge, config.encoder.weights),
    )
    scores = evaluator(renderer)
    told.say(views_table(scores, "FID" if inception else "Frechet (judge)"))
    about = {
        "degrees": ",".join(f"{angle:g}" for angle in degrees),
        "queries": len(evaluator.query.images),
        "frechet_features": str(inception or "judge"),
        "judge": str(judge or config.encoder.weights),
    }
    told.write({**about, "scores": {name: found.as_dict() for name, found in scores.items()}})
    if sheet is not None:
        told.draw(evaluator.sheet(renderer), sheet, "views of some queries")


def _judge(config: Config, run: Path | None) -> FeatureExtractor:
    """An encoder that never saw generated images, of any architecture and size."""
    import torch

    from reid_gen.builders.experiment import encoder_card
    from reid_gen.inference.reference_encoder import load_judge
    from reid_gen.models.encoder import create_encoder
    from reid_gen.runtime.devices import Runtime

    if run is None:
        torch.manual_seed(config.seed)
        return Runtime("fp32").encoder(create_encoder(encoder_card(config), config.encoder.weights))
    return load_judge(run, Runtime("fp32"))[0]


def _name(file: Path | None, weights: str | None) -> str:
    """What features are called that a file, or a run's encoder, or start weights give."""
    import hashlib

    from reid_gen.models.checkpoint import find_checkpoint
    from reid_gen.models.weight_files import ENCODER

    if file is None:
        return str(weights)
    source = file if file.is_file() else find_checkpoint(file) / ENCODER
    return hashlib.sha256(source.read_bytes()).hexdigest()


def _truth(config: Config) -> Truth | None:
    """True turned views, of rendered pedestrians only."""
    from reid_gen.pedestrians.dataset import Album

    return Album(config.data.root).view if config.data.name == "pedestrians" else None
