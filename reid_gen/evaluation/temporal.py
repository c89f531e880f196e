"""Joint visual and temporal similarity at test time (JVTC+, Li and Zhang, ECCV 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from reid_gen.errors import UserError
from reid_gen.types import OUTLIER, Float32Array, Image, Int64Array

VARIANT = "visual-temporal (JVTC+)"
BIN = 100
"""Frames per bin of a histogram."""
BINS = 3000
SMOOTH = 50
"""Standard deviation of the smoothing in bins."""
SHARPNESS = 5.0
_BLOCK = 256


@dataclass(frozen=True)
class CaptureTimes:
    """Where and when images were taken.

    Attributes:
        camids: [N].
        frames: On one clock per camera, [N].
    """

    camids: Int64Array
    frames: Int64Array


def capture_times(images: Sequence[Image]) -> CaptureTimes:
    """Cameras and frames; a camera's recordings follow each other without a gap.

    Raises:
        UserError: If an image has no camera or frame.
    """
    known = [
        (image.camid, image.frame, image.recording)
        for image in images
        if image.camid is not None and image.frame is not None
    ]
    if len(known) < len(images):
        raise UserError(
            f"{len(images) - len(known)} of {len(images)} images have no camera or frame number in "
            "their names, and --temporal ranks by both; leave it out for this data set"
        )
    camids, frames, recordings = (np.array(column, np.int64) for column in zip(*known, strict=True))
    longest = np.zeros((camids.max() + 1, recordings.max() + 1), np.int64)
    np.maximum.at(longest, (camids, recordings), frames)
    return CaptureTimes(camids, frames + (longest.cumsum(1) - longest)[camids, recordings])


def travel_times(taken: CaptureTimes, labels: Int64Array, cameras: int) -> Float32Array:
    """How likely a gap between two cameras is, from the clusters of the training images.

    A cluster gives one gap per pair of cameras, between its mean times there; and in one camera the
    gaps from its first image, each counted as often as it has images there.

    Args:
        taken: Of the training images.
        labels: Pseudo labels, [N]; outliers give nothing.
        cameras: Number of cameras C.

    Returns:
        Histograms over gaps of ``BIN`` frames that sum to 1, [C, C, BINS]; the first camera is the
        later one.
    """
    clustered = labels != OUTLIER
    camids, frames, labels = taken.camids[clustered], taken.frames[clustered], labels[clustered]
    cell = labels * cameras + camids
    shape = (int(labels.max(initial=OUTLIER)) + 1, cameras)
    count = np.bincount(cell, minlength=shape[0] * cameras).astype(np.float64)
    total = np.bincount(cell, frames, minlength=len(count))
    first = np.full(len(count), np.iinfo(np.int64).max)
    np.minimum.at(first, cell, frames)
    histogram = np.zeros((cameras, cameras, BINS))
    several = count[cell] > 1
    own = camids[several]
    gaps = _bin(frames[several] - first[cell][several])
    np.add.at(histogram, (own, own, gaps), count[cell][several])
    with np.errstate(invalid="ignore"):
        mean = (total / count).reshape(shape)
    for one in range(cameras):
        for other in range(one + 1, cameras):
            gap = mean[:, one] - mean[:, other]
            gap = gap[~np.isnan(gap)]
            np.add.at(histogram[one, other], _bin(gap[gap > 0]), 1)
            np.add.at(histogram[other, one], _bin(-gap[gap <= 0]), 1)
    smooth = gaussian_filter1d(histogram, SMOOTH, axis=2, mode="constant", truncate=3)
    shares: Float32Array = (smooth / np.maximum(smooth.sum(2, keepdims=True), 1e-7)).astype(
        np.float32
    )
    return shares


def joint_distances(
    query: Float32Array,
    gallery: Float32Array,
    asked: CaptureTimes,
    kept: CaptureTimes,
    likelihood: Float32Array,
) -> Float32Array:
    """``1 - 1 / (1 + exp(-5 v)) * 1 / (1 + 2 exp(-5 t))`` of cosine v and likelihood t of the gap.

    Args:
        query: Unit features, [Q, D].
        gallery: Unit features, [G, D].
        asked: When and where the queries were taken.
        kept: The same of the gallery.
        likelihood: From :func:`travel_times`.

    Returns:
        [Q, G] float32.
    """
    result = np.empty((len(query), len(gallery)), np.float32)
    for start in range(0, len(query), _BLOCK):
        rows = slice(start, start + _BLOCK)
        gap = asked.frames[rows, None] - kept.frames
        cameras = np.broadcast_arrays(asked.camids[rows, None], kept.camids)
        later, earlier = np.where(gap > 0, cameras, cameras[::-1])
        t = likelihood[later, earlier, _bin(np.abs(gap))]
        v = query[rows] @ gallery.T
        result[rows] = 1 - 1 / ((1 + np.exp(-SHARPNESS * v)) * (1 + 2 * np.exp(-SHARPNESS * t)))
    return result


def _bin(gap: NDArray[np.generic]) -> Int64Array:
    return np.minimum(gap.astype(np.float64) // BIN, BINS - 1).astype(np.int64)
