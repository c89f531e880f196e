"""Body estimation for whole splits, resumable: parts on disk, joined at the end."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from reid_gen.body.estimate.estimator import BodyEstimator
from reid_gen.body.table import BodyTable, join_tables, load_table, save_table
from reid_gen.data.images import UnreadableImage, unreadable_error
from reid_gen.data.loaders import ImageLoader
from reid_gen.errors import UserError
from reid_gen.files import write_bytes
from reid_gen.runtime.progress import Progress
from reid_gen.types import Dataset, Image

PART_SIZE = 1024
"""Images per part; an interrupted run loses at most one part."""
BATCH_SIZE = 128
LOW_SCORE = 0.5
"""Scores below this value are listed in ``LOW_SCORES_FILE``."""
LOW_SCORES_FILE = "low_confidence.txt"


def images_by_split(dataset: Dataset) -> dict[str, tuple[Image, ...]]:
    """Return the images of every split that a data set has."""
    splits = {"train": dataset.train} if dataset.train else {}
    if dataset.query is not None:
        splits["query"] = dataset.query.images
    if dataset.gallery is not None:
        splits["gallery"] = dataset.gallery.images
    return splits


def estimate_split(
    images: Sequence[Image],
    target: Path,
    estimator: BodyEstimator,
    *,
    workers: int,
    progress: Progress,
) -> None:
    """Estimate the bodies of a split.

    Args:
        images: Images of the split.
        target: Path of the table to write.
        estimator: Body estimator; tables and parts of another source are rejected.
        workers: Number of decoding threads.
        progress: Progress display.

    Raises:
        UserError: If images do not decode (finished parts are kept), if ``target`` is a table of
            another source, or if it cannot be written.
    """
    if holds_bodies(target, estimator.source):
        return
    parts = target.with_name(f".{target.name}-parts")
    files = []
    with progress.task(f"bodies: {target.stem}", len(images)) as advance:
        for start in range(0, len(images), PART_SIZE):
            part = images[start : start + PART_SIZE]
            files.append(parts / f"{start:08d}.npz")
            if not files[-1].exists():
                save_table(estimate_part(part, estimator, workers), files[-1])
            advance(len(part))
    tables = [load_table(file) for file in files]
    if any(table.source != estimator.source for table in tables):
        raise UserError(
            f"{parts} holds parts of another source than {estimator.source}; remove it and run "
            "the command again"
        )
    save_table(join_tables(tables), target)
    shutil.rmtree(parts)


def holds_bodies(target: Path, source: str) -> bool:
    """Tell whether a table of bodies exists.

    Args:
        target: Path of the table.
        source: Source that its bodies must have.

    Raises:
        UserError: If its bodies are of another source.
    """
    if not target.exists():
        return False
    existing = load_table(target).source
    if existing != source:
        raise UserError(
            f"{target} holds bodies of another source ({existing} instead of {source}); remove it, "
            "or give another --out"
        )
    return True


def estimate_part(images: Sequence[Image], estimator: BodyEstimator, workers: int) -> BodyTable:
    """Estimate the bodies of some images.

    Raises:
        UserError: Listing all of these images that do not decode.
    """
    loader = ImageLoader(images, estimator.height, estimator.width, workers)
    tables: list[BodyTable] = []
    failures: list[UnreadableImage] = []
    for batch in loader.in_order(BATCH_SIZE):
        failures += batch.failures
        if not failures:
            keys = tuple(images[row].key for row in batch.index)
            tables.append(estimator(keys, batch.pixels))
    if failures:
        raise unreadable_error(failures)
    return join_tables(tables)


def write_low_scores(tables: Sequence[BodyTable], path: Path) -> int:
    """Write scores below ``LOW_SCORE`` and their keys, lowest first; return their number."""
    low_scores = sorted(
        (float(score), key)
        for table in tables
        for key, score in zip(table.keys, table.score, strict=True)
        if score < LOW_SCORE
    )
    text = "".join(f"{score:.3f} {key}\n" for score, key in low_scores)
    write_bytes(path, text.encode())
    return len(low_scores)
