"""Sparse k-reciprocal Jaccard distance (Zhong et al., CVPR 2017, sections 3.2 to 3.4)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from scipy import sparse

from reid_gen.cluster.knn.neighbours import Neighbours
from reid_gen.cluster.parallel import room_for, spread, threads
from reid_gen.cluster.reciprocal import encode_sets, expanded_sets
from reid_gen.types import Float32Array


def jaccard_distances(
    features: Float32Array,
    neighbours: Neighbours,
    *,
    k1: int,
    k2: int,
    counts_self: bool = True,
    most: float = 1.0,
) -> sparse.csr_matrix:
    """Jaccard distance of every pair whose encodings overlap; no N x N array is made.

    ``R(i, k)`` are the k-reciprocal neighbours; ``R*(i)`` adds ``R(c, k1 / 2)`` of those c in R(i)
    that share over two thirds of it; ``V_i`` weighs R*(i) by ``softmax(-|x_i - x_j|^2)`` and is
    then averaged over the k2 nearest images;
    ``d(i, j) = 1 - sum min(V_i, V_j) / sum max(V_i, V_j)``.

    Args:
        features: Unit rows, [N, D] float32 or float16.
        neighbours: At least ``k1`` (or ``k1 + 1``) and ``k2`` columns, unless N is smaller.
        k1: Neighbours of the reciprocal sets.
        k2: Images over which encodings are averaged, itself included.
        counts_self: True: the image itself is one of the k1 (SpCL); False: k1 others (the paper).
        most: Pairs that are farther apart are left out.

    Returns:
        Symmetric [N, N] float64 distances in [0, 1); an absent pair is farther apart than ``most``.
        The diagonal is not stored.
    """
    index = neighbours.index
    sets = expanded_sets(index, k1 if counts_self else k1 + 1, k1)
    unscaled = np.ones(len(index), dtype=np.float32)
    encoding = encode_sets(sets, features, unscaled, index, k2, neighbours.similarity)
    return _pairwise(encoding, most)


def _pairwise(encoding: sparse.csr_matrix, most: float) -> sparse.csr_matrix:
    """Distance of all pairs with common support; each row of ``encoding`` sums to 1."""
    encoding.sort_indices()
    columns = encoding.tocsc()
    size = encoding.shape[0]
    by_row = (encoding.indptr, encoding.indices, encoding.data)
    by_column = (columns.indptr, columns.indices, columns.data)
    with ThreadPoolExecutor(threads()) as pool:
        parts = 16 * threads()  # later rows have fewer pairs, so that shares are made small
        found = spread(pool, size, _overlaps, *by_row, *by_column, float(most), parts=parts)
    near, other, distance = (np.concatenate(of_all) for of_all in zip(*found, strict=True))
    # Joined by hand: adding sparse matrices would drop pairs at distance 0.
    row = np.repeat(np.arange(size, dtype=np.int32), near)
    both = (np.concatenate([other, row]), np.concatenate([row, other]))
    return sparse.csr_matrix((np.tile(distance, 2), both), shape=(size, size))


@numba.njit(cache=True, nogil=True)
def _distance(least):  # type: ignore[no-untyped-def]
    """From a sum of minima, to nine digits.

    Copies make exact fractions, which the rounding of sums would put on either side of a radius.
    """
    return np.rint(1e9 * max(0.0, 1.0 - least / (2.0 - least))) / 1e9


@numba.njit(cache=True, nogil=True)
def _overlaps(a, b, pointer, columns, values, by_column, rows, weights, most):  # type: ignore[no-untyped-def]
    """For each i of a to b the j > i that are near: how many, which, and their distances."""
    size = len(pointer) - 1
    shared = np.zeros(size, np.float64)
    met = np.empty(size, np.int32)
    near = np.zeros(b - a, np.int64)
    other = np.empty(16 * (b - a), np.int32)
    distance = np.empty(len(other), np.float64)
    end = 0
    for i in range(a, b):
        count = 0
        for p in range(pointer[i], pointer[i + 1]):
            q = by_column[columns[p] + 1] - 1
            while q >= by_column[columns[p]] and rows[q] > i:
                j, least = rows[q], min(values[p], weights[q])
                if shared[j] == 0 and least > 0:
                    met[count] = j
                    count += 1
                shared[j] += least
                q -= 1
        close = 0
        for j in met[:count]:
            shared[j] = _distance(shared[j])
            if shared[j] <= most:
                met[close] = j
                close += 1
            else:
                shared[j] = 0.0
        other, distance = room_for(other, end + close), room_for(distance, end + close)
        for j in np.sort(met[:close]):
            other[end] = j
            distance[end] = shared[j]
            shared[j] = 0.0
            end += 1
        near[i - a] = close
    return near, other[:end], distance[:end]
