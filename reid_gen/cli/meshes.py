"""``reid-gen meshes``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.cli.command import Command
from reid_gen.cli.options import (
    FILES_FORCE,
    INPUT,
    JSON,
    PICTURE,
    RASTERISER,
    RESUMED,
    SHARD,
    THREAD_RANGE,
)
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.body.estimate.estimator import BodyEstimator
    from reid_gen.body.model import BodyModel
    from reid_gen.body.table import BodyTable


@click.command(cls=Command)
@click.argument("name")
@click.option("--root", type=INPUT, required=True, help="Where the data lie.")
@click.option("--out", type=RESUMED, required=True, help="Folder for the tables.")
@click.option(
    "--weights",
    type=INPUT,
    help="Another mesh regressor: ours, or with --body a checkpoint of SPIN or 4D-Humans.",
)
@click.option("--from", "folder", type=INPUT, help="Read a file per image that others estimated.")
@click.option("--body", type=INPUT, help="SMPL model, file or folder; needed for others' bodies.")
@click.option("--keypoints", type=INPUT, help="JSON of COCO key points to fit the bodies to.")
@click.option("--masks", type=INPUT, help="Folder of masks to fit the bodies to.")
@click.option(
    "--shard", type=SHARD, default="1/1", show_default=True, help="Do the i-th of n shares."
)
@click.option("--sheet", type=PICTURE, help="Draw some bodies into a .png or .jpg.")
@RASTERISER
@click.option(
    "--workers", type=THREAD_RANGE, default=2, show_default=True, help="Decoding threads."
)
@JSON
@FILES_FORCE
def meshes(
    name: str,
    root: Path,
    out: Path,
    weights: Path | None,
    folder: Path | None,
    body: Path | None,
    keypoints: Path | None,
    masks: Path | None,
    shard: tuple[int, int],
    sheet: Path | None,
    rasteriser: str | None,
    workers: int,
    output: Path | None,
) -> None:
    """Estimate a 3-D body for every image of data set NAME; a killed run goes on where it was.

    Example: reid-gen meshes market1501 --root data --out bodies --sheet bodies.jpg
    """
    from reid_gen.body.estimate.keypoints_and_masks import EvidenceFiles
    from reid_gen.body.table import load_table
    from reid_gen.data.datasets import load_dataset
    from reid_gen.runtime.progress import Terminal

    results = Results(output)
    _refuse_contradictions(weights, folder, body)
    _refuse_unused(rasteriser, sheet, keypoints, masks)
    dataset = load_dataset(name, root)

    from reid_gen.body.estimate.splits import RefinedEstimator, estimate_split, images_by_split
    from reid_gen.body.model import load_body
    from reid_gen.body.render.rasterisers import load_rasteriser

    draw = load_rasteriser(rasteriser or "numba")
    splits = images_by_split(dataset)
    paths = {image.key: image.path for split in splits.values() for image in split}
    model = load_body(body)
    recovery = _recovery(weights, folder, model, paths)
    if keypoints or masks:
        recovery = RefinedEstimator(recovery, EvidenceFiles(keypoints, masks, paths), model, draw)
    whole = [
        estimate_split(
            split, out / f"{label}.npz", recovery,
            shard=shard, workers=workers, progress=Terminal(),
        )
        for label, split in splits.items()
    ]  # fmt: skip
    if not all(whole):
        part, parts = shard
        results.say(f"share {part + 1}/{parts} is done; the tables follow when all shares are")
        results.write({"folder": str(out), "whole": False})
        return
    tables = {split: load_table(out / f"{split}.npz") for split in splits}
    _describe(tables, out, results)
    if sheet is not None:
        from reid_gen.report.bodies import bodies_sheet

        first = next(iter(splits))
        pixels = bodies_sheet(splits[first], tables[first], model, draw)
        results.draw(pixels, sheet, f"bodies of some {first} images")


def _describe(tables: Mapping[str, BodyTable], out: Path, results: Results) -> None:
    """Say how good the bodies are, and list the doubtful ones."""
    from reid_gen.body.estimate.splits import LOW_SCORE, LOW_SCORES_FILE, write_low_scores

    low = write_low_scores(list(tables.values()), out / LOW_SCORES_FILE)
    means = {split: float(table.score.mean()) for split, table in tables.items()}
    for split, table in tables.items():
        results.say(f"{split}: {len(table.keys):,} bodies, mean score {means[split]:.2f}")
    results.say(f"{low:,} scores are below {LOW_SCORE}: {out / LOW_SCORES_FILE}")
    splits = {
        split: {"bodies": len(table.keys), "mean_score": round(means[split], 4)}
        for split, table in tables.items()
    }
    results.write({"folder": str(out), "whole": True, "splits": splits, "low_scores": low})


def _refuse_contradictions(weights: Path | None, folder: Path | None, body: Path | None) -> None:
    if weights is not None and folder is not None:
        raise click.UsageError(
            "--weights estimates bodies and --from reads them; give one of the two"
        )
    theirs = folder is not None or _is_checkpoint(weights)
    if theirs != (body is not None):
        raise click.UsageError(
            "--body, an SMPL model, goes with bodies that others' programs estimate: give it with "
            "--from, or with a --weights checkpoint (.pt, .pth, .ckpt), and else leave it out"
        )


def _refuse_unused(rasteriser: str | None, *drawn: Path | None) -> None:
    if rasteriser is not None and not any(drawn):
        raise click.UsageError(
            f"--rasteriser {rasteriser} has no effect where no body is drawn: give --sheet, "
            "--keypoints or --masks with it, or leave it out"
        )


def _is_checkpoint(weights: Path | None) -> bool:
    if weights is None:
        return False

    from reid_gen.body.estimate.foreign_checkpoints import SUFFIXES

    return weights.suffix in SUFFIXES


def _recovery(
    weights: Path | None, folder: Path | None, model: BodyModel, paths: Mapping[str, Path]
) -> BodyEstimator:
    from reid_gen.body.estimate.estimator import RegressorEstimator
    from reid_gen.body.estimate.foreign_checkpoints import CheckpointEstimator
    from reid_gen.body.estimate.foreign_files import PrecomputedBodies

    if folder is not None:
        return PrecomputedBodies(folder, paths, model)
    if weights is not None and _is_checkpoint(weights):
        return CheckpointEstimator(weights, model)
    return RegressorEstimator(weights)
