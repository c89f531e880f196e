"""Check of a data set on disk: counts per split against the official ones, and decoding."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reid_gen.data.datasets import DATASETS, Counts, load_dataset
from reid_gen.data.images import UnreadableImage, decode
from reid_gen.types import UNKNOWN, Image, Int64Array


@dataclass(frozen=True)
class SplitCheck:
    """Counts of one split.

    Attributes:
        name: train, query or gallery.
        actual: Counts on disk; ``pids`` is 0 for unlabelled images.
        official: Counts that the authors of the data set state; None if there are none.
    """

    name: str
    actual: Counts
    official: Counts | None

    @property
    def agrees(self) -> bool:
        """Whether the counts are the official ones, or there are no official ones."""
        return self.official is None or self.actual == self.official


@dataclass(frozen=True)
class CheckReport:
    """Result of :func:`check_dataset`.

    Attributes:
        splits: Checks of the splits that the data set has.
        unreadable: Files that do not decode.
        notes: Notes of the data set's reader, such as its version.
    """

    splits: tuple[SplitCheck, ...]
    unreadable: tuple[UnreadableImage, ...]
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether every split has the official counts and every file decodes."""
        return not self.unreadable and all(split.agrees for split in self.splits)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {
            "splits": {
                split.name: {
                    "found": asdict(split.actual),
                    "official": None if split.official is None else asdict(split.official),
                }
                for split in self.splits
            },
            "unreadable": [
                {"path": str(failure.path), "reason": failure.reason} for failure in self.unreadable
            ],
            "notes": list(self.notes),
        }


def check_dataset(name: str, root: Path) -> CheckReport:
    """Count images, ids and cameras per split, and decode every file.

    Args:
        name: A key of ``DATASETS``.
        root: Root folder of the data set.

    Returns:
        The counts per split and the files that do not decode.

    Raises:
        UserError: If the data set cannot be read at all.
    """
    dataset = load_dataset(name, root)
    official = DATASETS[name].official
    splits: list[tuple[str, Sequence[Image], Int64Array | None]] = [
        ("train", dataset.train, dataset.train_pids)
    ]
    if dataset.query is not None:
        splits.append(("query", dataset.query.images, dataset.query.pids))
    if dataset.gallery is not None:
        splits.append(("gallery", dataset.gallery.images, dataset.gallery.pids))
    return CheckReport(
        splits=tuple(
            SplitCheck(split, _count(images, pids, DATASETS[name].distractor), official.get(split))
            for split, images, pids in splits
        ),
        unreadable=_unreadable([image for _, images, _ in splits for image in images]),
        notes=dataset.notes,
    )


def _count(images: Sequence[Image], pids: Int64Array | None, distractor: int | None) -> Counts:
    distinct_pids = set() if pids is None else set(np.unique(pids).tolist())
    cameras = {image.camid for image in images}
    return Counts(len(images), len(distinct_pids - {distractor, UNKNOWN}), len(cameras - {None}))


def _unreadable(images: Sequence[Image]) -> tuple[UnreadableImage, ...]:
    def decoding_error(image: Image) -> UnreadableImage | None:
        try:
            decode(image.path)
        except UnreadableImage as error:
            return error
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return tuple(error for error in pool.map(decoding_error, images) if error is not None)
