"""Index sampling: P x K identity batches, shuffled batches, and evenly spaced indices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reid_gen.types import OUTLIER, Int64Array

MIN_BATCH = 2
"""Fewest images that batch norm is given: a single image has no batch statistics. Holds for the
images of a process in a batch, and for the images of a batch that get views."""


def identity_batches(
    labels: Int64Array,
    *,
    batch: int,
    instances: int,
    iterations: int,
    rng: np.random.Generator,
    camids: Int64Array | None = None,
) -> Iterator[Int64Array]:
    """Sample batches of P = ``batch / instances`` clusters with K = ``instances`` images each.

    Clusters are sampled in random order, without replacement until all were used. The number of
    batches does not depend on the number of clusters. A cluster with fewer than K images repeats
    some of them. Outliers are never sampled. With fewer than P clusters, batches are smaller.

    Args:
        labels: Pseudo labels, [N]; -1 is an outlier.
        batch: Images per batch.
        instances: Images per cluster in a batch (K).
        iterations: Number of batches.
        rng: Source of all randomness.
        camids: Camera of each image, [N], to spread the images of a cluster over its cameras
            (camera-aware sampling); None ignores cameras.

    Yields:
        Row indices of the images, [P * K] int64; the K images of a cluster are consecutive.
    """
    clustered = np.flatnonzero(labels != OUTLIER)
    by_label = clustered[np.argsort(labels[clustered], kind="stable")]
    members = np.split(by_label, np.cumsum(np.bincount(labels[clustered]))[:-1])
    clusters_per_batch = min(batch // instances, len(members))
    queue: list[int] = []
    for _ in range(iterations):
        if len(queue) < clusters_per_batch:
            permuted = rng.permutation(len(members))
            # Clusters that are still queued go last, so that no batch has a cluster twice.
            is_queued = np.isin(permuted, queue)
            queue += [*permuted[~is_queued].tolist(), *permuted[is_queued].tolist()]
        clusters, queue = queue[:clusters_per_batch], queue[clusters_per_batch:]
        yield np.concatenate(
            [_sample_members(members[cluster], instances, rng, camids) for cluster in clusters]
        )


def shuffled_batches(
    rows: Int64Array, *, batch: int, iterations: int, rng: np.random.Generator
) -> Iterator[Int64Array]:
    """Sample batches of equal size in random order, reshuffling after each pass over the rows.

    The last rows of a pass are dropped if they do not fill a batch.

    Args:
        rows: Row indices to sample from.
        batch: Images per batch; all rows if there are fewer.
        iterations: Number of batches.
        rng: Source of all randomness.

    Yields:
        Row indices of the images, [B] int64.
    """
    size = min(batch, len(rows))
    queue = rows[:0]
    for _ in range(iterations):
        if len(queue) < size:
            queue = rng.permutation(rows)
        yield queue[:size]
        queue = queue[size:]


def _sample_members(
    members: Int64Array, count: int, rng: np.random.Generator, camids: Int64Array | None
) -> Int64Array:
    """Sample ``count`` members in random order, cycling through them if there are fewer."""
    shuffled = rng.permutation(members)
    if camids is not None:
        shuffled = shuffled[_camera_round_robin(camids[shuffled])]
    return np.resize(shuffled, count)


def _camera_round_robin(cameras: Int64Array) -> Int64Array:
    """Order of images that takes one of each camera, then a second of each, and so on."""
    by_camera = np.argsort(cameras, kind="stable")
    sorted_cameras = cameras[by_camera]
    first_of_camera = np.searchsorted(sorted_cameras, sorted_cameras)
    round_of_image = np.empty(len(cameras), dtype=np.int64)
    round_of_image[by_camera] = np.arange(len(cameras)) - first_of_camera
    return np.argsort(round_of_image, kind="stable")


def evenly_spaced_indices(length: int, count: int) -> Int64Array:
    """Return ``count`` ascending indices evenly spaced over 0..length - 1; all if there are fewer.

    Args:
        length: Number of items to choose from.
        count: Number of indices.
    """
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.int64))
