"""``reid-gen meshes``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.choices import EngineName
from reid_gen.cli.blocks import BlockOptions, remove_blocks, report_shard
from reid_gen.cli.command import Command
from reid_gen.cli.options import (
    ACTORS,
    ENGINE,
    FILES_FORCE,
    IMAGE_FILE,
    INPUT,
    JSON,
    RASTERISER,
    RESUMABLE_FOLDER,
    SHARD,
    THREAD_RANGE,
)
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.body.estimate.choice import EstimatorFiles
    from reid_gen.body.table import BodyTable
    from reid_gen.types import Image

    Splits = Mapping[str, tuple[Image, ...]]


@click.command(cls=Command)
@click.argument("name")
@click.option("--root", type=INPUT, required=True, help="Folder that contains the data set.")
@click.option(
    "--out",
    type=RESUMABLE_FOLDER,
    required=True,
    help="Folder for the body tables; run again to resume.",
)
@click.option(
    "--weights",
    type=INPUT,
    help="Weights of the mesh regressor; with --body a checkpoint of SPIN or 4D-Humans (default: "
    "built-in).",
)
@click.option(
    "--from",
    "folder",
    type=INPUT,
    help="Folder of bodies estimated by another program, a file per image.",
)
@click.option(
    "--body",
    type=INPUT,
    help="SMPL model, file or folder; required for bodies and checkpoints of other programs.",
)
@click.option(
    "--keypoints", type=INPUT, help="JSON file of COCO key points that bodies are fitted to."
)
@click.option("--masks", type=INPUT, help="Folder of person masks that bodies are fitted to.")
@ENGINE
@ACTORS
@SHARD
@click.option("--sheet", type=IMAGE_FILE, help="Contact sheet of some bodies, .png or .jpg.")
@RASTERISER
@click.option(
    "--workers", type=THREAD_RANGE, default=2, show_default=True, help="Image decoding threads."
)
@JSON
@FILES_FORCE
def meshes(
    *,
    name: str,
    root: Path,
    out: Path,
    weights: Path | None,
    folder: Path | None,
    body: Path | None,
    keypoints: Path | None,
    masks: Path | None,
    engine: EngineName,
    actors: int | None,
    shard: tuple[int, int] | None,
    sheet: Path | None,
    rasteriser: str | None,
    workers: int,
    output: Path | None,
) -> None:
    """Estimate a 3D body for every image of data set NAME.

    Example: reid-gen meshes market1501 --root data --out bodies --sheet bodies.jpg
    """
    from reid_gen.body.table import load_table
    from reid_gen.data.datasets import load_dataset

    results = Results(output)
    _check_estimator_options(weights, folder, body)
    _check_rasteriser_used(rasteriser, sheet, keypoints, masks)
    options = BlockOptions(engine, actors, shard)
    options.check(sheet)
    dataset = load_dataset(name, root)

    from reid_gen.body.estimate.choice import EstimatorFiles
    from reid_gen.body.estimate.splits import images_by_split
    from reid_gen.body.render.rasterisers import load_rasteriser

    rasterise = load_rasteriser(rasteriser or "numba")
    files = EstimatorFiles(weights, folder, body, keypoints, masks, rasteriser or "numba")
    splits = images_by_split(dataset)
    if not _estimate(splits, files, out, options, workers, results):
        return
    tables = {split: load_table(out / f"{split}.npz") for split in splits}
    describe_bodies(tables, out, results)
    if sheet is not None:
        from reid_gen.body.model import load_body
        from reid_gen.report.bodies import bodies_sheet

        first = next(iter(splits))
        pixels = bodies_sheet(splits[first], tables[first], load_body(body), rasterise)
        results.write_image(pixels, sheet, f"bodies of some {first} images")


def _estimate(
    splits: Splits,
    files: EstimatorFiles,
    out: Path,
    options: BlockOptions,
    workers: int,
    results: Results,
) -> bool:
    """Estimate the bodies of all splits, or of a shard; return whether all tables are there."""
    from reid_gen.body.estimate.mesh_blocks import join_bodies, meshes_job
    from reid_gen.body.estimate.splits import estimate_split, holds_bodies
    from reid_gen.body.table import save_table
    from reid_gen.distributed.blocks import read_blocks
    from reid_gen.runtime.progress import Terminal

    paths = {image.key: image.path for images in splits.values() for image in images}
    estimator = files.open(paths)
    if not options.in_blocks:
        for label, images in splits.items():
            estimate_split(
                images, out / f"{label}.npz", estimator, workers=workers, progress=Terminal()
            )
        return True
    complete = [holds_bodies(out / f"{label}.npz", estimator.source) for label in splits]
    if options.shard is None and all(complete):
        return True
    folder = options.compute(meshes_job(splits, files, estimator.source, workers), out)
    if options.shard is not None:
        report_shard(folder, out, results)
        return False
    for label, table in join_bodies(read_blocks([folder]), folder.header).items():
        save_table(table, out / f"{label}.npz")
    remove_blocks(folder)
    return True


def describe_bodies(tables: Mapping[str, BodyTable], out: Path, results: Results) -> None:
    """Print mean body scores and list bodies with low scores in a file."""
    from reid_gen.body.estimate.splits import LOW_SCORE, LOW_SCORES_FILE, write_low_scores

    low_count = write_low_scores(list(tables.values()), out / LOW_SCORES_FILE)
    means = {split: float(table.score.mean()) for split, table in tables.items()}
    for split, table in tables.items():
        results.echo(f"{split}: {len(table.keys):,} bodies, mean score {means[split]:.2f}")
    results.echo(f"{low_count:,} scores are below {LOW_SCORE}: {out / LOW_SCORES_FILE}")
    splits = {
        split: {"bodies": len(table.keys), "mean_score": round(means[split], 4)}
        for split, table in tables.items()
    }
    content = {"folder": str(out), "whole": True, "splits": splits, "low_scores": low_count}
    results.write_json(content)


def _check_estimator_options(weights: Path | None, folder: Path | None, body: Path | None) -> None:
    if weights is not None and folder is not None:
        raise click.UsageError(
            "--weights estimates bodies and --from reads them; give one of the two"
        )
    needs_body = folder is not None or _is_checkpoint(weights)
    if needs_body != (body is not None):
        raise click.UsageError(
            "--body, an SMPL model, is required with --from or a --weights checkpoint of another "
            "program (.pt, .pth, .ckpt), and must be left out otherwise"
        )


def _check_rasteriser_used(rasteriser: str | None, *options: Path | None) -> None:
    if rasteriser is not None and not any(options):
        raise click.UsageError(
            f"--rasteriser {rasteriser} has no effect without --sheet, --keypoints or --masks; "
            "give one of them, or leave it out"
        )


def _is_checkpoint(weights: Path | None) -> bool:
    """Whether weights are a checkpoint of another program."""
    if weights is None:
        return False

    from reid_gen.body.estimate.foreign_checkpoints import SUFFIXES

    return weights.suffix in SUFFIXES
