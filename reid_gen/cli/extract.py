"""``reid-gen extract``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, get_args

import click

from reid_gen.choices import EngineName, Precision, RuntimeName
from reid_gen.cli.blocks import BlockOptions, remove_blocks, report_shard
from reid_gen.cli.command import Command
from reid_gen.cli.options import (
    ACTORS,
    BATCH_RANGE,
    ENGINE,
    FILE,
    FLIP,
    FORCE,
    IMAGES,
    JSON,
    MODEL,
    SHARD,
    THREAD_RANGE,
    model_or_default,
)
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.distributed.job import Job
    from reid_gen.inference.extract import FeatureTable


class Settings(TypedDict):
    """Options of an extraction, with or without blocks."""

    batch: int
    workers: int
    flip: bool


@click.command(cls=Command)
@click.argument("images", type=IMAGES, nargs=-1, required=True)
@MODEL
@click.option(
    "--runtime",
    type=click.Choice(get_args(RuntimeName)),
    help="Fail unless the model runs on this runtime (default: whichever it needs).",
)
@click.option(
    "--out", type=FILE, required=True, help="Feature file to write: FILE.npz or FILE.parquet."
)
@click.option(
    "--batch", type=BATCH_RANGE, default=128, show_default=True, help="Images per forward pass."
)
@click.option(
    "--workers", type=THREAD_RANGE, default=4, show_default=True, help="Image decoding threads."
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="fp32",
    show_default=True,
    help="Compute precision of a run; an exported file has its own.",
)
@FLIP
@click.option("--skip-unreadable", is_flag=True, help="Skip images that cannot be decoded.")
@ENGINE
@ACTORS
@SHARD
@JSON
@FORCE
def extract(
    *,
    images: tuple[str, ...],
    model: Path | None,
    runtime: RuntimeName | None,
    out: Path,
    batch: int,
    workers: int,
    precision: Precision,
    flip: bool,
    skip_unreadable: bool,
    engine: EngineName,
    actors: int | None,
    shard: tuple[int, int] | None,
    output: Path | None,
) -> None:
    """Extract features of IMAGES.

    IMAGES are folders, files, quoted globs or @list.txt.

    Example: reid-gen extract crops/ --model runs/baseline_market_small --out features.npz
    """
    from reid_gen.data.feature_files import FEATURE_TABLE_SUFFIXES
    from reid_gen.data.find_images import find_images
    from reid_gen.data.tables import check_table

    check_table(out, FEATURE_TABLE_SUFFIXES)
    options = BlockOptions(engine, actors, shard)
    options.check()
    results = Results(output)
    sources = find_images(images)
    model = model_or_default(model)

    from reid_gen.inference.extract import extract as compute
    from reid_gen.inference.reid_model import check_runtime, open_encoder
    from reid_gen.runtime.progress import Terminal

    check_runtime(model, runtime)
    settings: Settings = {"batch": batch, "workers": workers, "flip": flip}
    if options.in_blocks:
        from reid_gen.inference.extract_blocks import extract_job

        job = extract_job(sources, model, precision, **settings)
        _extract_in_blocks(job, out, options, results, skip_unreadable, model)
        return
    encode, card = open_encoder(model, precision)
    table = compute(
        encode, card, sources, **settings, skip_unreadable=skip_unreadable, progress=Terminal()
    )
    write_features(table, out, results, model=str(model))


def _extract_in_blocks(
    job: Job,
    out: Path,
    options: BlockOptions,
    results: Results,
    skip_unreadable: bool,
    model: Path,
) -> None:
    from reid_gen.distributed.blocks import read_blocks
    from reid_gen.inference.extract_blocks import join_features

    folder = options.compute(job, out)
    if not skip_unreadable:
        folder.refuse_unreadable()
    if options.shard is not None:
        report_shard(folder, out, results)
        return
    write_features(join_features(read_blocks([folder])), out, results, model=str(model))
    remove_blocks(folder)


def write_features(table: FeatureTable, out: Path, results: Results, **about: str) -> None:
    """Write features and report them.

    Args:
        table: The features.
        out: File to write.
        results: Output of the command.
        about: Further results for the JSON file.

    Raises:
        UserError: If the file cannot be written.
    """
    from reid_gen.inference.extract import save_features

    save_features(table, out)
    for path in table.unreadable:
        click.echo(f"skipped, cannot be decoded: {path}", err=True)
    count, length = table.features.shape
    results.echo(f"wrote {count} features of length {length}: {out}")
    results.write_json(
        {
            "file": str(out),
            **about,
            "images": count,
            "length": length,
            "unreadable": [str(path) for path in table.unreadable],
        }
    )
