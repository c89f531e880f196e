"""Dense implementation of pseudo labels, with N x N matrices and loops over images.

It follows the common training code (Zhong et al., CVPR 2017, as in MMT, SpCL and Cluster Contrast):
an N x N distance matrix, an N x N encoding, and loops for the reciprocal sets and the minima.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN

from reid_gen.types import Float32Array, Int64Array


def dense_distances(
    features: Float32Array, k1: int, k2: int, dtype: type = np.float32
) -> NDArray[np.floating]:
    """Compute the Jaccard distances of all pairs, [N, N]; float64 gives reference values."""
    exact: NDArray[np.floating] = features.astype(dtype)
    size = len(exact)
    # For an array times itself NumPy uses another BLAS routine, which crashes at 32,621 rows.
    squared = exact @ exact.copy().T
    squared *= -2
    squared += 2
    rank = _ranked(squared, k1, dtype)
    full = [_reciprocal(rank, i, k1) for i in range(size)]
    half = [_reciprocal(rank, i, int(np.around(k1 / 2)) + 1) for i in range(size)]
    encoding: NDArray[np.floating] = np.zeros((size, size), dtype)
    for i in range(size):
        members = full[i]
        for candidate in full[i]:
            neighbours = half[candidate]
            if len(np.intersect1d(neighbours, full[i])) > 2 / 3 * len(neighbours):
                members = np.append(members, neighbours)
        members = np.unique(members)
        weight = np.exp(-squared[i, members])
        encoding[i, members] = weight / weight.sum()
    if k2 > 1:
        averaged = np.empty_like(encoding)
        for i in range(size):
            averaged[i] = encoding[rank[i, :k2]].mean(axis=0)
        encoding = averaged
    nonzero_rows = [np.flatnonzero(encoding[:, j]) for j in range(size)]
    distance = squared
    for i in range(size):
        minimum_sum: NDArray[np.floating] = np.zeros(size, dtype)
        for j in np.flatnonzero(encoding[i]):
            minimum_sum[nonzero_rows[j]] += np.minimum(encoding[i, j], encoding[nonzero_rows[j], j])
        distance[i] = np.maximum(1 - minimum_sum / (2 - minimum_sum), 0)
    return distance


def dense_labels(
    features: Float32Array, k1: int, k2: int, eps: float, min_samples: int
) -> Int64Array:
    """Cluster with DBSCAN on the dense Jaccard distances; return pseudo labels, [N]."""
    distance = dense_distances(features, k1, k2)
    clustering = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed")
    return np.asarray(clustering.fit_predict(distance), np.int64)


def _ranked(squared: NDArray[np.floating], count: int, dtype: type) -> Int64Array:
    """Rank the nearest images of each image, itself first, ties by index, [N, count + 1]."""
    index = np.empty((len(squared), count + 1), np.int64)
    digits = 12 if dtype is np.float64 else 6
    for i, row in enumerate(squared):
        rounded = np.round(row, digits)
        rounded[i] = -1
        index[i] = np.argsort(rounded, kind="stable")[: count + 1]
    return index


def _reciprocal(rank: Int64Array, image: int, count: int) -> Int64Array:
    neighbours = rank[image, :count]
    return neighbours[(rank[neighbours, :count] == image).any(axis=1)]
