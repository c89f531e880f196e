"""Features drawn to the middle of their person at test time (Pose2ID, CVPR 2025)."""

from __future__ import annotations

import numpy as np

from reid_gen.cluster.knn.neighbours import nearest
from reid_gen.types import Float32Array

NFC = "neighbours (NFC)"
TURNED = "views (Pose2ID)"


def by_neighbours(features: Float32Array, k1: int = 2, k2: int = 2) -> Float32Array:
    """Add those of an image's ``k1`` nearest that have it among their ``k2`` nearest (NFC).

    Query and gallery are each done by themselves, as the authors do.

    Args:
        features: Unit rows, [N, D].
        k1: Neighbours looked at, the image itself not counted.
        k2: Neighbours of those, likewise.

    Returns:
        Unit rows, [N, D].
    """
    index = nearest(features, max(k1, k2) + 1).index[:, 1:]
    mine, theirs = index[:, :k1], index[:, :k2]
    rows = np.arange(len(features))
    mutual = (theirs[mine] == rows[:, None, None]).any(axis=2)
    added = np.einsum("nk,nkd->nd", mutual.astype(np.float32), features[mine])
    return _unit(features + added)


def by_views(features: Float32Array, views: Float32Array, weight: float = 1.0) -> Float32Array:
    """Add the features of each image's generated views (IPG): ``f + weight sum_v f_v``.

    Args:
        features: Unit rows, [N, D].
        views: Unit rows of V views each, [N, V, D].
        weight: Of the views, eta in the paper.

    Returns:
        Unit rows, [N, D].
    """
    return _unit(features + weight * views.sum(axis=1))


def _unit(rows: Float32Array) -> Float32Array:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Float32Array = (rows / np.maximum(length, 1e-12)).astype(np.float32)
    return unit
