"""Feature centralisation at test time: move features towards their person's mean (Pose2ID).

Source: Yuan et al., "From Poses to Identity", CVPR 2025.
"""

from __future__ import annotations

import numpy as np

from reid_gen.cluster.knn.neighbours import nearest
from reid_gen.types import Float32Array

NFC = "neighbours (NFC)"
TURNED = "views (Pose2ID)"


def centralise_with_neighbours(features: Float32Array, k1: int = 2, k2: int = 2) -> Float32Array:
    """Add to each feature those of its mutual nearest neighbours, then normalise (NFC).

    Neighbour j of image i counts if j is among the ``k1`` nearest of i, and i among the ``k2``
    nearest of j. Query and gallery are processed separately, as in the authors' code.

    Args:
        features: L2-normalised features, [N, D].
        k1: Number of candidate neighbours per image, without the image itself.
        k2: Number of neighbours of a candidate, among which the image must be.

    Returns:
        L2-normalised features, [N, D].
    """
    index = nearest(features, max(k1, k2) + 1).index[:, 1:]
    candidates = index[:, :k1]
    rows = np.arange(len(features))
    mutual = (index[:, :k2][candidates] == rows[:, None, None]).any(axis=2)  # [N, k1]
    neighbour_sum = np.einsum("nk,nkd->nd", mutual.astype(np.float32), features[candidates])
    return _l2_normalise(features + neighbour_sum)


def centralise_with_views(
    features: Float32Array, views: Float32Array, weight: float = 1.0
) -> Float32Array:
    """Add to each feature those of its generated views, then normalise (IPG).

    ``f + weight sum_v f_v``, scaled to unit length.

    Args:
        features: L2-normalised features of the images, [N, D].
        views: L2-normalised features of V generated views per image, [N, V, D].
        weight: Weight of the views, eta in the paper.

    Returns:
        L2-normalised features, [N, D].
    """
    return _l2_normalise(features + weight * views.sum(axis=1))


def _l2_normalise(features: Float32Array) -> Float32Array:
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    normalised: Float32Array = (features / np.maximum(norm, 1e-12)).astype(np.float32)
    return normalised
