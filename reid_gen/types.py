"""Types that several layers share; this module imports no other module of the project.

Letters of array shapes in all docstrings: B batch size, V views, P identities per batch, K images
per identity, D feature size, N training images, Q queries, G gallery images, C clusters, H height
and W width in pixels.
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
"""Pseudo label of an image in no cluster; two outliers never match."""
UNKNOWN = -1
"""Pid of junk images and unknown people, and camera id if unknown; two of them never match."""


@dataclass(frozen=True, slots=True)
class Image:
    """Crop of a person, without a pid, as training sees it.

    Attributes:
        key: Unique name in the data set: the path relative to the root, with forward slashes.
        path: Path of the image file.
        camid: Camera id, counted from 0; None if unknown.
        frame: Frame number in the camera's recording; None if unknown.
        recording: Number of the camera's recording, counted from 1 in temporal order.
    """

    key: str
    path: Path
    camid: int | None = None
    frame: int | None = None
    recording: int = 1


@dataclass(frozen=True, slots=True)
class LabelledSplit:
    """Query or gallery split: images with the pids that evaluation needs.

    Attributes:
        images: The Q or G images.
        pids: Person ids, [Q] or [G] int64. Images with ``UNKNOWN`` are ignored, like the junk of
            Market-1501; its distractors (pid 0) are people without a query.
    """

    images: tuple[Image, ...]
    pids: Int64Array

    def __post_init__(self) -> None:
        if len(self.images) != len(self.pids):
            raise ValueError(f"{len(self.images)} images but {len(self.pids)} pids")

    @property
    def camids(self) -> Int64Array:
        """Camera id of each image, [Q] or [G] int64; -1 if unknown."""
        return np.array(
            [-1 if image.camid is None else image.camid for image in self.images], dtype=np.int64
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set on disk.

    Attributes:
        name: Key in the table of data sets.
        root: Folder that contains the splits.
        train: The N training images, without labels.
        train_pids: True pids of the training images, [N] int64, for display only; None if unknown.
        query: Query split; None for an unlabelled folder.
        gallery: Gallery split; None for an unlabelled folder.
        notes: Facts that matter for reported results (folder layout, version, merged splits).
    """

    name: str
    root: Path
    train: tuple[Image, ...]
    train_pids: Int64Array | None = None
    query: LabelledSplit | None = None
    gallery: LabelledSplit | None = None
    notes: tuple[str, ...] = ()


Scalars = Mapping[str, float]
"""Scalar metrics by name, as written to the metrics log."""
