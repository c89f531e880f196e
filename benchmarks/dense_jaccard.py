"""The classic way to pseudo labels, straightforwardly: dense matrices and loops over images.

This is what the field's training code does (Zhong et al., CVPR 2017, as MMT, SpCL and Cluster
Contrast run it): an N x N distance, an N x N encoding, a loop for the sets, a loop for the minima.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN

from reid_gen.types import Float32Array, Int64Array


def dense_distances(
    features: Float32Array, k1: int, k2: int, dtype: type = np.float32
) -> NDArray[np.floating]:
    """Jaccard distance of all pairs, [N, N]; float64 decides what is right."""
    exact: NDArray[np.floating] = features.astype(dtype)
    size = len(exact)
    # NumPy multiplies an array with itself by another routine, which crashes at 32,621 rows.
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
            theirs = half[candidate]
            if len(np.intersect1d(theirs, full[i])) > 2 / 3 * len(theirs):
                members = np.append(members, theirs)
        members = np.unique(members)
        weight = np.exp(-squared[i, members])
        encoding[i, members] = weight / weight.sum()
    if k2 > 1:
        averaged = np.empty_like(encoding)
        for i in range(size):
            averaged[i] = encoding[rank[i, :k2]].mean(axis=0)
        encoding = averaged
    holders = [np.flatnonzero(encoding[:, j]) for j in range(size)]
    distance = squared
    for i in range(size):
        least: NDArray[np.floating] = np.zeros(size, dtype)
        for j in np.flatnonzero(encoding[i]):
            least[holders[j]] += np.minimum(encoding[i, j], encoding[holders[j], j])
        distance[i] = np.maximum(1 - least / (2 - least), 0)
    return distance


def dense_labels(
    features: Float32Array, k1: int, k2: int, eps: float, min_samples: int
) -> Int64Array:
    """DBSCAN on these, [N]."""
    distance = dense_distances(features, k1, k2)
    rule = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed")
    return np.asarray(rule.fit_predict(distance), np.int64)


def _ranked(squared: NDArray[np.floating], count: int, dtype: type) -> Int64Array:
    """The nearest of each image, itself first, equal ones by number, [N, count + 1]."""
    index = np.empty((len(squared), count + 1), np.int64)
    digits = 12 if dtype is np.float64 else 6
    for i, row in enumerate(squared):
        own = np.round(row, digits)
        own[i] = -1
        index[i] = np.argsort(own, kind="stable")[: count + 1]
    return index


def _reciprocal(rank: Int64Array, image: int, count: int) -> Int64Array:
    near = rank[image, :count]
    return near[(rank[near, :count] == image).any(axis=1)]
