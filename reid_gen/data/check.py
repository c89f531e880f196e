"""Comparing a data set on disk with its official counts."""

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
    """One split: what is there, and what should be (None for own data).

    Attributes:
        name: train, query or gallery.
        found: Counts on disk; pids is 0 for unlabelled images.
        official: Counts of the authors.
    """

    name: str
    found: Counts
    official: Counts | None

    @property
    def agrees(self) -> bool:
        """Whether nothing differs from the official counts."""
        return self.official is None or self.found == self.official


@dataclass(frozen=True)
class CheckReport:
    """Result of :func:`check_dataset`.

    Attributes:
        splits: Every split there is.
        unreadable: Files that do not decode.
        notes: What the reader of the data set has to say.
    """

    splits: tuple[SplitCheck, ...]
    unreadable: tuple[UnreadableImage, ...]
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether every split has the official counts and every file decodes."""
        return not self.unreadable and all(split.agrees for split in self.splits)

    def as_dict(self) -> dict[str, Any]:
        """The findings as plain values, for JSON."""
        return {
            "splits": {
                split.name: {
                    "found": asdict(split.found),
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
        name: A key of the table of data sets.
        root: Folder that holds it.

    Returns:
        The findings.

    Raises:
        UserError: If the data set cannot be read at all.
    """
    dataset = load_dataset(name, root)
    official = DATASETS[name].official
    parts: list[tuple[str, Sequence[Image], Int64Array | None]] = [
        ("train", dataset.train, dataset.train_pids)
    ]
    if dataset.query is not None:
        parts.append(("query", dataset.query.images, dataset.query.pids))
    if dataset.gallery is not None:
        parts.append(("gallery", dataset.gallery.images, dataset.gallery.pids))
    images = [image for _, split, _ in parts for image in split]
    return CheckReport(
        splits=tuple(
            SplitCheck(split, _count(members, pids, DATASETS[name].distractor), official.get(split))
            for split, members, pids in parts
        ),
        unreadable=_unreadable(images),
        notes=dataset.notes,
    )


def _count(images: Sequence[Image], pids: Int64Array | None, distractor: int | None) -> Counts:
    people = set() if pids is None else set(np.unique(pids).tolist())
    cameras = {image.camid for image in images}
    return Counts(len(images), len(people - {distractor, UNKNOWN}), len(cameras - {None}))


def _unreadable(images: Sequence[Image]) -> tuple[UnreadableImage, ...]:
    def fault(image: Image) -> UnreadableImage | None:
        try:
            decode(image.path)
        except UnreadableImage as failure:
            return failure
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        faults = pool.map(fault, images)
        return tuple(found for found in faults if found is not None)
