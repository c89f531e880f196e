"""Fusion of appearance and camera travel times at test time (JVTC+, Li and Zhang, ECCV 2020)."""

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
"""Width of a histogram bin in frames."""
BINS = 3000
SMOOTH = 50
"""Standard deviation of the Gaussian smoothing, in bins."""
SHARPNESS = 5.0
"""Steepness of the logistic functions that fuse similarity and likelihood."""
_BLOCK = 256


@dataclass(frozen=True)
class CaptureTimes:
    """Cameras and capture times of images.

    Attributes:
        camids: Camera of each image, [N].
        frames: Frame number on the clock of its camera, [N].
    """

    camids: Int64Array
    frames: Int64Array


def capture_times(images: Sequence[Image]) -> CaptureTimes:
    """Read cameras and frame numbers; recordings of a camera are joined end to end.

    Raises:
        UserError: If an image has no camera or frame number.
    """
    stamped = [
        (image.camid, image.frame, image.recording)
        for image in images
        if image.camid is not None and image.frame is not None
    ]
    if len(stamped) < len(images):
        raise UserError(
            f"{len(images) - len(stamped)} of {len(images)} images have no camera or frame number "
            "in their names, which --temporal needs; evaluate this data set without --temporal"
        )
    camids, frames, recordings = (
        np.array(column, np.int64) for column in zip(*stamped, strict=True)
    )
    longest = np.zeros((camids.max() + 1, recordings.max() + 1), np.int64)
    np.maximum.at(longest, (camids, recordings), frames)
    return CaptureTimes(camids, frames + (longest.cumsum(1) - longest)[camids, recordings])


def travel_times(times: CaptureTimes, labels: Int64Array, cameras: int) -> Float32Array:
    """Estimate the distribution of travel times between cameras from clustered training images.

    For each pair of cameras a cluster adds the gap between its mean frame numbers in both. Within
    a camera it adds the gaps from its first image to the others, each weighted by the number of
    images the cluster has in that camera.

    Args:
        times: Cameras and frame numbers of the N training images.
        labels: Pseudo labels, [N]; outliers are ignored.
        cameras: Number of cameras C.

    Returns:
        Histograms over travel times in bins of ``BIN`` frames, [C, C, BINS], each with sum 1; the
        first axis is the camera reached later.
    """
    clustered = labels != OUTLIER
    camids, frames, labels = times.camids[clustered], times.frames[clustered], labels[clustered]
    cell = labels * cameras + camids
    shape = (int(labels.max(initial=OUTLIER)) + 1, cameras)
    count = np.bincount(cell, minlength=shape[0] * cameras).astype(np.float64)
    total = np.bincount(cell, frames, minlength=len(count))
    first = np.full(len(count), np.iinfo(np.int64).max)
    np.minimum.at(first, cell, frames)
    histogram = np.zeros((cameras, cameras, BINS))
    repeated = count[cell] > 1
    camera = camids[repeated]
    gaps = _bin(frames[repeated] - first[cell][repeated])
    np.add.at(histogram, (camera, camera, gaps), count[cell][repeated])
    with np.errstate(invalid="ignore"):
        mean = (total / count).reshape(shape)
    for a in range(cameras):
        for b in range(a + 1, cameras):
            gap = mean[:, a] - mean[:, b]
            gap = gap[~np.isnan(gap)]
            np.add.at(histogram[a, b], _bin(gap[gap > 0]), 1)
            np.add.at(histogram[b, a], _bin(-gap[gap <= 0]), 1)
    smooth = gaussian_filter1d(histogram, SMOOTH, axis=2, mode="constant", truncate=3)
    distribution: Float32Array = (smooth / np.maximum(smooth.sum(2, keepdims=True), 1e-7)).astype(
        np.float32
    )
    return distribution


def joint_distances(
    query: Float32Array,
    gallery: Float32Array,
    query_times: CaptureTimes,
    gallery_times: CaptureTimes,
    likelihood: Float32Array,
) -> Float32Array:
    """Fuse cosine similarity v and travel-time likelihood t into a distance.

    ``1 - 1 / (1 + exp(-5 v)) * 1 / (1 + 2 exp(-5 t))``.

    Args:
        query: L2-normalised query features, [Q, D].
        gallery: L2-normalised gallery features, [G, D].
        query_times: Cameras and frame numbers of the queries.
        gallery_times: Cameras and frame numbers of the gallery.
        likelihood: Distributions of :func:`travel_times`, [C, C, BINS].

    Returns:
        Distances, [Q, G] float32.
    """
    result = np.empty((len(query), len(gallery)), np.float32)
    for start in range(0, len(query), _BLOCK):
        rows = slice(start, start + _BLOCK)
        gap = query_times.frames[rows, None] - gallery_times.frames
        cameras = np.broadcast_arrays(query_times.camids[rows, None], gallery_times.camids)
        later, earlier = np.where(gap > 0, cameras, cameras[::-1])
        t = likelihood[later, earlier, _bin(np.abs(gap))]
        v = query[rows] @ gallery.T
        result[rows] = 1 - 1 / ((1 + np.exp(-SHARPNESS * v)) * (1 + 2 * np.exp(-SHARPNESS * t)))
    return result


def _bin(gap: NDArray[np.generic]) -> Int64Array:
    return np.minimum(gap.astype(np.float64) // BIN, BINS - 1).astype(np.int64)
