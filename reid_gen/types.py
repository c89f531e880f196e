"""Values that several layers share. Imports nothing of ours.

Shape letters, used everywhere: B batch, V views, P ids per batch, K images per id, D feature,
N train images, Q query, G gallery, C clusters, H W pixels as (height, width).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]
Uint8Array = NDArray[np.uint8]

OUTLIER = -1
"""The pseudo label of an image that belongs to no cluster; it never matches another -1."""
UNKNOWN = -1
"""The pid of junk and of unknown people, and an unknown camera; it never matches another -1."""


@dataclass(frozen=True, slots=True)
class Image:
    """One crop as the trainer sees it: there is no pid here.

    Attributes:
        key: Stable name inside its data set: the path relative to the root, with slashes.
        path: Where the file lies.
        camid: Camera, counted from 0; None where unknown.
        frame: Frame number inside the camera's recording; None where unknown.
        recording: Which of the camera's recordings that is, from 1 in the order of time.
    """

    key: str
    path: Path
    camid: int | None = None
    frame: int | None = None
    recording: int = 1


@dataclass(frozen=True, slots=True)
class LabelledSplit:
    """Query or gallery: images with the pids that evaluation needs.

    Attributes:
        images: Q or G images.
        pids: Person ids, [Q] or [G] int64; ``UNKNOWN`` counts nowhere, as Market-1501's junk. A
            distractor (0 there) needs no rule: it is a person that no query shows.
    """

    images: tuple[Image, ...]
    pids: Int64Array

    def __post_init__(self) -> None:
        if len(self.images) != len(self.pids):
            raise ValueError(f"{len(self.images)} images but {len(self.pids)} pids")

    @property
    def camids(self) -> Int64Array:
        """Camera of each image, [Q] or [G] int64; -1 where unknown."""
        return np.array(
            [-1 if image.camid is None else image.camid for image in self.images], dtype=np.int64
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set on disk.

    Attributes:
        name: Its key in the table of data sets.
        root: The folder that held its splits.
        train: N images without labels; all that training may see.
        train_pids: Their true pids, [N] int64, for display only; None where there are none.
        query: Query split; None for an unlabelled folder.
        gallery: Gallery split; None for an unlabelled folder.
        notes: What a reader of results should know (layout found, version, splits merged).
    """

    name: str
    root: Path
    train: tuple[Image, ...]
    train_pids: Int64Array | None = None
    query: LabelledSplit | None = None
    gallery: LabelledSplit | None = None
    notes: tuple[str, ...] = ()


Scalars = Mapping[str, float]
"""Measured values by name, as the journal writes them."""
