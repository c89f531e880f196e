"""``reid-gen extract``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from reid_gen.cli.command import Command
from reid_gen.cli.options import (
    BATCH_RANGE,
    FILE,
    FORCE,
    IMAGES,
    JSON,
    MODEL,
    THREAD_RANGE,
    chosen_model,
)
from reid_gen.cli.results import Results


@click.command(cls=Command)
@click.argument("images", type=IMAGES, nargs=-1, required=True)
@MODEL
@click.option(
    "--runtime",
    type=click.Choice(["onnx", "torch"]),
    help="Refuse a model that the other one runs; by default what the model is made for.",
)
@click.option("--out", type=FILE, required=True, help="FILE.npz or .parquet.")
@click.option("--batch", type=BATCH_RANGE, default=128, show_default=True, help="Images per pass.")
@click.option(
    "--workers", type=THREAD_RANGE, default=4, show_default=True, help="Decoding threads."
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Of a run; an exported file has its own.",
)
@click.option("--flip", is_flag=True, help="Average features with those of the mirrored image.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out images that do not decode.")
@JSON
@FORCE
def extract(
    images: tuple[str, ...],
    model: Path | None,
    runtime: Literal["onnx", "torch"] | None,
    out: Path,
    batch: int,
    workers: int,
    precision: Literal["bf16", "fp32"],
    flip: bool,
    skip_unreadable: bool,
    output: Path | None,
) -> None:
    """Write features of IMAGES: folders, files, quoted globs, or @list.txt.

    Example: reid-gen extract crops/ --model runs/baseline_market_small --out features.npz
    """
    from reid_gen.data.feature_files import FEATURE_TABLE_SUFFIXES
    from reid_gen.data.find_images import find_images
    from reid_gen.data.tables import check_table
    from reid_gen.inference.extract import extract as compute
    from reid_gen.inference.extract import save_features
    from reid_gen.runtime.progress import Terminal

    check_table(out, FEATURE_TABLE_SUFFIXES)
    results = Results(output)
    found = find_images(images)
    model = chosen_model(model)

    from reid_gen.inference.reid_model import check_runtime, open_encoder

    check_runtime(model, runtime)
    encode, card = open_encoder(model, precision)
    table = compute(
        encode,
        card,
        found,
        batch=batch,
        workers=workers,
        flip=flip,
        skip_unreadable=skip_unreadable,
        progress=Terminal(),
    )
    save_features(table, out)
    for path in table.unreadable:
        click.echo(f"left out, does not decode: {path}", err=True)
    count, length = table.features.shape
    results.say(f"wrote {count} features of length {length}: {out}")
    results.write(
        {
            "file": str(out),
            "model": str(model),
            "images": count,
            "length": length,
            "unreadable": [str(path) for path in table.unreadable],
        }
    )
