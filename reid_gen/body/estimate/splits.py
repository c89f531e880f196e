"""Body estimation for whole splits, resumable and in shards: parts on disk, joined at the end."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reid_gen.body.estimate.estimator import BodyEstimator
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

PART_SIZE = 1024
"""Images per part; an interrupted run loses at most one part."""
BATCH_SIZE = 128
LOW_SCORE = 0.5
"""Scores below this value are listed in ``LOW_SCORES_FILE``."""
LOW_SCORES_FILE = "low_confidence.txt"


class RefinedEstimator:
    """Body estimator that fits another estimator's bodies to keypoints and masks.

    Args:
        estimator: Estimator of the initial bodies.
        evidence: Keypoints and masks of the images.
        body: Body model of the estimates.
        rasteriser: Rasteriser for the comparison with masks.
    """

    def __init__(
        self,
        estimator: BodyEstimator,
        evidence: EvidenceFiles,
        body: BodyModel,
        rasteriser: Rasteriser = rasterise,
    ) -> None:
        self.estimator = estimator
        self.evidence = evidence
        self.body = body
        self.rasteriser = rasteriser
        self.source = f"{estimator.source}, refined by {evidence.source}"
        self.height, self.width = estimator.height, estimator.width

    def __call__(self, keys: tuple[str, ...], pixels: Uint8Array) -> BodyTable:
        """Estimate the bodies in the images ``keys``, then fit them to the evidence."""
        table = replace(self.estimator(keys, pixels), source=self.source)
        evidence = self.evidence.load(keys, self.height, self.width)
        return refine(table, evidence, self.body, self.rasteriser)


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
    shard: tuple[int, int],
    workers: int,
    progress: Progress,
) -> bool:
    """Estimate the bodies of one shard of a split; join all shards once the last is complete.

    Args:
        images: Images of the split.
        target: Path of the table to write.
        estimator: Body estimator; tables and parts of another source are rejected.
        shard: Index of the shard, from 0, and number of shards.
        workers: Number of decoding threads.
        progress: Progress display.

    Returns:
        Whether the table is complete.

    Raises:
        UserError: If images do not decode (finished parts are kept), if ``target`` is a table of
            another source, or if it cannot be written.
    """
    if target.exists():
        source = load_table(target).source
        if source != estimator.source:
            raise UserError(
                f"{target} holds bodies of another source ({source} instead of "
                f"{estimator.source}); remove it, or give another --out"
            )
        return True
    parts = target.with_name(f".{target.name}-parts")
    starts = range(0, len(images), PART_SIZE)
    files = {start: parts / f"{start:08d}.npz" for start in starts}
    shard_starts = list(starts)[shard[0] :: shard[1]]
    total = len(images[: PART_SIZE * len(shard_starts)])
    with progress.task(f"bodies: {target.stem}", total) as advance:
        for start in shard_starts:
            part = images[start : start + PART_SIZE]
            if not files[start].exists():
                save_table(_estimate_part(part, estimator, workers), files[start])
            advance(len(part))
    if not all(file.exists() for file in files.values()):
        return False
    tables = [load_table(file) for file in files.values()]
    if any(table.source != estimator.source for table in tables):
        raise UserError(
            f"{parts} holds parts of another source than {estimator.source}; remove it and run "
            "the command again"
        )
    save_table(join_tables(tables), target)
    shutil.rmtree(parts)
    return True


def _estimate_part(images: Sequence[Image], estimator: BodyEstimator, workers: int) -> BodyTable:
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
