"""Drawing images: batches of P x K over pseudo labels, batches of all, some to look at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reid_gen.types import OUTLIER, Int64Array

MIN_BATCH = 2
"""Images that a process needs in a batch, and images of a batch that get views or none does: one
alone has no batch statistics."""


def identity_batches(
    labels: Int64Array,
    *,
    batch: int,
    instances: int,
    iterations: int,
    rng: np.random.Generator,
    camids: Int64Array | None = None,
) -> Iterator[Int64Array]:
    """Draw batches of P = ``batch / instances`` clusters with K = ``instances`` images each.

    Clusters come in random order, all of them before any again; an epoch has a stated number of
    batches, whatever the number of clusters. A cluster with fewer than K images repeats some.
    Outliers are never drawn. With fewer than P clusters a batch is as much smaller.

    Args:
        labels: Pseudo labels, [N]; -1 is an outlier.
        batch: Images per batch.
        instances: Images per cluster in a batch.
        iterations: Batches to draw.
        rng: Source of all randomness.
        camids: Camera of each image, [N]; if given, a cluster's images are spread over its cameras
            (the camera-aware variant).

    Yields:
        Rows of the images, [P * K] int64, the K of a cluster one after the other.
    """
    clustered = np.flatnonzero(labels != OUTLIER)
    by_label = clustered[np.argsort(labels[clustered], kind="stable")]
    members = np.split(by_label, np.cumsum(np.bincount(labels[clustered]))[:-1])
    per_batch = min(batch // instances, len(members))
    queue: list[int] = []
    for _ in range(iterations):
        if len(queue) < per_batch:
            fresh = rng.permutation(len(members))
            waiting = np.isin(fresh, queue)  # none twice in a batch: those waiting go last
            queue += [*fresh[~waiting].tolist(), *fresh[waiting].tolist()]
        chosen, queue = queue[:per_batch], queue[per_batch:]
        yield np.concatenate(
            [_draw(members[cluster], instances, rng, camids) for cluster in chosen]
        )


def shuffled_batches(
    rows: Int64Array, *, batch: int, iterations: int, rng: np.random.Generator
) -> Iterator[Int64Array]:
    """Draw batches in random order, every row before any again; none is smaller than the others.

    Args:
        rows: That may be drawn.
        batch: Images per batch; fewer if there are not so many rows.
        iterations: Batches to draw.
        rng: Source of all randomness.

    Yields:
        Rows of the images, [B] int64.
    """
    size = min(batch, len(rows))
    queue = rows[:0]
    for _ in range(iterations):
        if len(queue) < size:
            queue = rng.permutation(rows)
        yield queue[:size]
        queue = queue[size:]


def _draw(
    members: Int64Array, count: int, rng: np.random.Generator, camids: Int64Array | None
) -> Int64Array:
    """Take ``count`` members in random order, repeating them in turns if there are too few."""
    shuffled = rng.permutation(members)
    if camids is not None:
        shuffled = shuffled[_camera_turns(camids[shuffled])]
    return np.resize(shuffled, count)


def _camera_turns(cameras: Int64Array) -> Int64Array:
    """Order that takes one image of each camera, then a second of each, and so on."""
    by_camera = np.argsort(cameras, kind="stable")
    ordered = cameras[by_camera]
    starts = np.searchsorted(ordered, ordered)
    turn = np.empty(len(cameras), dtype=np.int64)
    turn[by_camera] = np.arange(len(cameras)) - starts
    return np.argsort(turn, kind="stable")


def evenly_spaced_indices(count: int, wanted: int) -> Int64Array:
    """``wanted`` places, or all, evenly over 0..count - 1, rising."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(np.int64))
