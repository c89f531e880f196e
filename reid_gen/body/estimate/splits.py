"""Bodies for every image of a split: in parts that outlive a kill, joined when all are there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reid_gen.body.estimate.estimator import Recovery
from reid_gen.body.estimate.keypoints_and_masks import EvidenceFiles
from reid_gen.body.estimate.smplify import refine
from reid_gen.body.model import BodyModel
from reid_gen.body.render.rasterise import Rasteriser, rasterise
from reid_gen.body.table import BodyTable, join_tables, load_table, save_table
from reid_gen.data.images import UnreadableImage, unreadable_error
from reid_gen.data.loaders import ImageLoader
from reid_gen.errors import UserError
from reid_gen.files import write_bytes
from reid_gen.runtime.progress import Progress
from reid_gen.types import Dataset, Image, Uint8Array

PART = 1024
"""Images per part: what a kill can cost."""
BATCH = 128
LOW = 0.5
"""Scores below it are listed."""
LISTED = "low_confidence.txt"


class Refined:
    """Bodies of a recovery, fitted to what is known of the images.

    Args:
        recovery: Gives the estimates.
        evidence: Key points, masks.
        body: Of the estimates.
        rasteriser: Draws the bodies that are compared with masks.
    """

    def __init__(
        self,
        recovery: Recovery,
        evidence: EvidenceFiles,
        body: BodyModel,
        rasteriser: Rasteriser = rasterise,
    ) -> None:
        self.recovery = recovery
        self.evidence = evidence
        self.body = body
        self.rasteriser = rasteriser
        self.source = f"{recovery.source}, refined by {evidence.source}"
        self.height, self.width = recovery.height, recovery.width

    def __call__(self, keys: tuple[str, ...], pixels: Uint8Array) -> BodyTable:
        """Estimate, then fit."""
        table = replace(self.recovery(keys, pixels), source=self.source)
        evidence = self.evidence.of(keys, self.height, self.width)
        return refine(table, evidence, self.body, self.rasteriser)


def splits_of(dataset: Dataset) -> dict[str, tuple[Image, ...]]:
    """Images of every split that a data set has."""
    splits = {} if not dataset.train else {"train": dataset.train}
    if dataset.query is not None:
        splits["query"] = dataset.query.images
    if dataset.gallery is not None:
        splits["gallery"] = dataset.gallery.images
    return splits


def recover_split(
    images: Sequence[Image],
    target: Path,
    recovery: Recovery,
    *,
    shard: tuple[int, int],
    workers: int,
    progress: Progress,
) -> bool:
    """Estimate the bodies of one share of a split, and join all shares if this was the last.

    Args:
        images: Of the split.
        target: Table to make.
        recovery: Gives the bodies; tables and parts of another source are refused.
        shard: Which share, from 0, of how many.
        workers: Decoding threads.
        progress: Display.

    Returns:
        Whether the table is whole.

    Raises:
        UserError: If images do not decode (parts that are done stay), if a table of another source
            is there, or if it cannot be written.
    """
    if target.exists():
        if load_table(target).source != recovery.source:
            raise UserError(
                f"{target} was made by something else; remove it, or give another --out"
            )
        return True
    parts = target.with_name(f".{target.name}-parts")
    starts = range(0, len(images), PART)
    files = {start: parts / f"{start:08d}.npz" for start in starts}
    own = list(starts)[shard[0] :: shard[1]]
    with progress.task(f"bodies: {target.stem}", len(images[: PART * len(own)])) as advance:
        for start in own:
            part = images[start : start + PART]
            if not files[start].exists():
                save_table(_recover(part, recovery, workers), files[start])
            advance(len(part))
    if not all(file.exists() for file in files.values()):
        return False
    tables = [load_table(file) for file in files.values()]
    if any(table.source != recovery.source for table in tables):
        raise UserError(f"{parts} holds parts of another regressor; remove it and start again")
    save_table(join_tables(tables), target)
    shutil.rmtree(parts)
    return True


def _recover(images: Sequence[Image], recovery: Recovery, workers: int) -> BodyTable:
    loader = ImageLoader(images, recovery.height, recovery.width, workers)
    tables: list[BodyTable] = []
    failures: list[UnreadableImage] = []
    for batch in loader.in_order(BATCH):
        failures += batch.failures
        if not failures:
            keys = tuple(images[row].key for row in batch.index)
            tables.append(recovery(keys, batch.pixels))
    if failures:
        raise unreadable_error(failures)
    return join_tables(tables)


def list_low(tables: Sequence[BodyTable], path: Path) -> int:
    """Write the keys of low scores, worst first, and give their number."""
    low = sorted(
        (float(score), key)
        for table in tables
        for key, score in zip(table.keys, table.score, strict=True)
        if score < LOW
    )
    text = "".join(f"{score:.3f} {key}\n" for score, key in low)
    write_bytes(path, text.encode())
    return len(low)
