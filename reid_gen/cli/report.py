"""``reid-gen report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.cli.command import Command, check_output
from reid_gen.cli.options import FILE, FORCE, MODEL_PATH

if TYPE_CHECKING:
    from reid_gen.config.schema import Config
    from reid_gen.report.page import SplitFeatures, TrainClustering
    from reid_gen.types import Dataset


@click.command(cls=Command)
@click.argument("run", type=MODEL_PATH)
@click.option(
    "--out", type=FILE, help="HTML file to write (default: report.html in the run folder)."
)
@FORCE
def report(run: Path, out: Path | None) -> None:
    """Write a self-contained HTML report of RUN.

    It shows training curves, clusters, a map of the features, generated views, ranked lists,
    cameras and settings. It contains images of people: protect it like the data set.

    Example: reid-gen report runs/baseline_market_small --out report.html
    """
    from reid_gen.config.load import load_config
    from reid_gen.data.datasets import load_dataset
    from reid_gen.extras import need
    from reid_gen.files import write_bytes
    from reid_gen.models.weight_files import checkpoint_folder
    from reid_gen.training.run_folder import CONFIG

    need("a report", "matplotlib")
    checkpoint = checkpoint_folder(run)
    folder = checkpoint.parent
    if out is None:
        out = folder / "report.html"
        check_output(FILE, "--out", out)
    config = load_config(folder / CONFIG)
    dataset = load_dataset(config.data.name, config.data.root)

    from reid_gen.models.checkpoint import read_card
    from reid_gen.report.page import run_page

    page = run_page(
        folder,
        read_card(checkpoint),
        dataset.train,
        _load_clustering(checkpoint, len(dataset.train)),
        _compute_features(config, dataset, checkpoint),
    )
    write_bytes(out, page.encode())
    size = out.stat().st_size / 2**20
    click.echo(f"wrote the report of {run}, {size:.1f} MiB: {out}")


def _load_clustering(checkpoint: Path, images: int) -> TrainClustering | None:
    """Load features and pseudo labels of the last epoch, if it clustered the training images."""
    from reid_gen.models.checkpoint import BANK_FILE
    from reid_gen.models.weights import read_weights
    from reid_gen.report.page import TrainClustering

    bank = {name: values.numpy() for name, values in read_weights(checkpoint / BANK_FILE).items()}
    if len(bank.get("labels", ())) != images:  # labels of the source data set, or none
        return None
    return TrainClustering(bank["features"], bank["labels"])


def _compute_features(config: Config, dataset: Dataset, checkpoint: Path) -> SplitFeatures | None:
    """Compute features of query and gallery, if the data set has them."""
    from reid_gen.builders.experiment import build_evaluator
    from reid_gen.models.checkpoint import load_encoder
    from reid_gen.report.page import SplitFeatures
    from reid_gen.runtime.devices import Runtime
    from reid_gen.runtime.progress import Terminal

    if dataset.query is None or dataset.gallery is None:
        return None
    encoder, _ = load_encoder(checkpoint)
    evaluator = build_evaluator(config, dataset, Terminal())
    features = evaluator.features(Runtime(config.encoder.precision).encoder(encoder))
    return SplitFeatures(dataset.query, dataset.gallery, *features)
