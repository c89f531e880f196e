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
    IMAGE_FILE,
    INPUT,
    JSON,
    MODEL_PATH,
    RASTERISER,
)
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.config.schema import Config
    from reid_gen.evaluation.view_evaluator import TrueView
    from reid_gen.models.encoder import FeatureExtractor


@click.command("evaluate-views", cls=Command)
@click.argument("run", type=MODEL_PATH)
@click.option(
    "--degrees",
    type=ANGLES,
    default="90,180,270",
    show_default=True,
    help="Comma-separated rotation angles of the views in degrees.",
)
@click.option(
    "--queries",
    type=COUNT_RANGE,
    default=200,
    show_default=True,
    help="Number of query images, evenly spaced.",
)
@click.option(
    "--judge",
    type=MODEL_PATH,
    help="Run whose encoder is the reference encoder of identity (default: RUN's initial weights).",
)
@click.option(
    "--inception",
    type=INPUT,
    help="File inception-2015-12-05.pt, to compute FID (default: Frechet distance of the reference "
    "encoder's features).",
)
@click.option(
    "--sheet",
    type=IMAGE_FILE,
    help="Image of some queries with their generated and true views, .png or .jpg.",
)
@RASTERISER
@JSON
@FORCE
def evaluate_views(
    *,
    run: Path,
    degrees: tuple[float, ...],
    queries: int,
    judge: Path | None,
    inception: Path | None,
    sheet: Path | None,
    rasteriser: str | None,
    output: Path | None,
) -> None:
    """Evaluate views of query images by RUN's generator.

    Each score is compared with that of the query image itself, of the mean of the person's gallery
    images and, on rendered pedestrians, of the true rotated view.

    Example: reid-gen evaluate-views runs/gcl_pedestrians --json views.json
    """
    import numpy as np

    from reid_gen.body.table import load_table
    from reid_gen.builders.saved_run import open_run
    from reid_gen.data.datasets import labelled_splits, load_dataset
    from reid_gen.evaluation.inception import load_inception
    from reid_gen.evaluation.view_evaluator import ViewEvaluator, evenly_spaced_queries, views_table

    results = Results(output)
    saved = open_run(run, {"body.rasteriser": rasteriser})
    config = saved.config
    dataset = load_dataset(config.data.name, config.data.root)
    query, gallery = labelled_splits(dataset)
    encode = _reference_encoder(config, judge)
    evaluator = ViewEvaluator(
        query=evenly_spaced_queries(query, queries),
        gallery=gallery,
        table=load_table(saved.generator.bodies / "query.npz"),
        reference_encoder=encode,
        features=encode if inception is None else load_inception(inception),
        true_view=_truth(config),
        degrees=np.array(degrees, np.float32),
        cache=saved.checkpoint.parent / "statistics",
        features_name=_features_name(inception or judge, config.encoder.weights),
    )
    scores = evaluator(saved.renderer)
    results.echo(views_table(scores, "FID" if inception else "Frechet (reference)"))
    about = {
        "degrees": ",".join(f"{angle:g}" for angle in degrees),
        "queries": len(evaluator.query.images),
        "frechet_features": str(inception or "judge"),
        "judge": str(judge or config.encoder.weights),
    }
    results.write_json(
        {**about, "scores": {name: score.as_dict() for name, score in scores.items()}}
    )
    if sheet is not None:
        results.write_image(evaluator.sheet(saved.renderer), sheet, "views of some queries")


def _reference_encoder(config: Config, run: Path | None) -> FeatureExtractor:
    """Load a run's encoder, of any architecture and size, or the configured initial weights."""
    import torch

    from reid_gen.builders.encoder import encoder_card
    from reid_gen.inference.reference_encoder import load_reference_encoder
    from reid_gen.models.encoder import create_encoder
    from reid_gen.runtime.devices import Runtime

    if run is None:
        torch.manual_seed(config.seed)
        return Runtime("fp32").encoder(create_encoder(encoder_card(config), config.encoder.weights))
    return load_reference_encoder(run, Runtime("fp32"))[0]


def _features_name(file: Path | None, weights: str | None) -> str:
    """Name the network that computes features: digest of its file, or name of initial weights."""
    import hashlib

    from reid_gen.models.checkpoint import find_checkpoint
    from reid_gen.models.weight_files import ENCODER_FILE

    if file is None:
        return str(weights)
    source = file if file.is_file() else find_checkpoint(file) / ENCODER_FILE
    return hashlib.sha256(source.read_bytes()).hexdigest()


def _truth(config: Config) -> TrueView | None:
    """Return the renderer of true rotated views, which only rendered pedestrians have."""
    from reid_gen.extras import need
    from reid_gen.pedestrians.dataset import RenderedDataset

    if config.data.name != "pedestrians":
        return None
    need("comparing views with true images", "torchmetrics")
    return RenderedDataset(config.data.root).view
