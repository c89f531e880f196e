"""``reid-gen report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from reid_gen.config.schema import Config
    from reid_gen.report.page import Measured

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=PATH)
@click.option("--out", type=PATH, required=True, help="FILE.html to make.")
@click.option("--force", is_flag=True, help="Overwrite it.")
def report(run: Path, out: Path, force: bool) -> None:
    """Draw RUN as one HTML page that needs nothing else.

    Curves, clusters, a map of features, generated views, ranked lists, cameras, settings. The page
    holds pictures of people: keep it where the images may be.

    Example: reid-gen report runs/baseline_market_small --out report.html
    """
    from reid_gen.config.load import load_config
    from reid_gen.data.datasets import load_dataset
    from reid_gen.engine.checkpoint import BANK, find_checkpoint, read_card
    from reid_gen.engine.run import CONFIG
    from reid_gen.files import refuse_existing, write_bytes
    from reid_gen.models.weights import read_weights
    from reid_gen.report.charts import need_matplotlib
    from reid_gen.report.page import run_page

    refuse_existing(out, force)
    need_matplotlib()
    checkpoint = find_checkpoint(run)
    folder = checkpoint.parent
    config = load_config(folder / CONFIG)
    bank = {name: values.numpy() for name, values in read_weights(checkpoint / BANK).items()}
    train = load_dataset(config.data.name, config.data.root).train
    if len(bank.get("labels", ())) != len(train):  # a source set's, or none
        bank = {}
    page = run_page(
        folder,
        read_card(checkpoint),
        train,
        bank.get("features", _empty(2)),
        bank.get("labels", _empty(1)),
        _measured(config, checkpoint),
    )
    write_bytes(out, page.encode())
    click.echo(f"wrote {out}, {out.stat().st_size / 2**20:.1f} MiB")


def _empty(dimensions: int):  # type: ignore[no-untyped-def]
    import numpy as np

    return np.empty((0,) * dimensions, np.float32 if dimensions == 2 else np.int64)


def _measured(config: Config, checkpoint: Path) -> Measured | None:
    """Features of query and gallery, if the data set has these."""
    from reid_gen.data.datasets import load_dataset
    from reid_gen.engine.build import build_evaluator
    from reid_gen.engine.checkpoint import load_encoder
    from reid_gen.engine.progress import Terminal
    from reid_gen.engine.runtime import Runtime
    from reid_gen.report.page import Measured

    dataset = load_dataset(config.data.name, config.data.root)
    if dataset.query is None or dataset.gallery is None:
        return None
    encoder, _ = load_encoder(checkpoint)
    evaluator = build_evaluator(config, dataset, Terminal())
    features = evaluator.features(Runtime(config.encoder.precision).encoder(encoder))
    return Measured(dataset.query, dataset.gallery, *features)
