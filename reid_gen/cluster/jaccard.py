"""Sparse k-reciprocal Jaccard distance (Zhong et al., CVPR 2017, sections 3.2 to 3.4)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from scipy import sparse

from reid_gen.cluster.knn.neighbours import Neighbours
from reid_gen.cluster.parallel import ensure_capacity, map_ranges, thread_count
from reid_gen.cluster.reciprocal import encode_reciprocal_sets, expanded_reciprocal_sets
from reid_gen.types import Float32Array


def jaccard_distances(
    features: Float32Array,
    neighbours: Neighbours,
    *,
    k1: int,
    k2: int,
    counts_self: bool = True,
    max_distance: float = 1.0,
) -> sparse.csr_matrix:
    """Compute the Jaccard distance of every pair with overlapping encodings, without a dense array.

    ``R(i, k)`` are the k-reciprocal neighbours of image i. ``R*(i)`` adds every ``R(c, k1 / 2)``,
    c in R(i), of which over two thirds are in R(i). The encoding ``V_i`` weights R*(i) by
    ``softmax(-|x_i - x_j|^2)`` and is averaged over the k2 nearest images. Then
    ``d(i, j) = 1 - sum min(V_i, V_j) / sum max(V_i, V_j)``.

    Args:
        features: L2-normalised features, [N, D] float32 or float16.
        neighbours: Nearest neighbours with at least ``k1`` (``k1 + 1`` if ``counts_self`` is false)
            and ``k2`` columns, unless N is smaller.
        k1: Number of neighbours of the reciprocal sets.
        k2: Number of images over which encodings are averaged, the image itself included.
        counts_self: Whether the image itself is one of the k1 (SpCL); False counts k1 other images
            (the paper).
        max_distance: Pairs at a larger distance are not stored.

    Returns:
        Symmetric sparse distances in [0, 1), [N, N] float64, without the diagonal. An absent pair
        is farther apart than ``max_distance``.
    """
    index = neighbours.index
    sets = expanded_reciprocal_sets(index, k1 if counts_self else k1 + 1, k1)
    unscaled = np.ones(len(index), dtype=np.float32)
    encoding = encode_reciprocal_sets(sets, features, unscaled, index, k2, neighbours.similarity)
    return _pairwise_distances(encoding, max_distance)


def _pairwise_distances(encoding: sparse.csr_matrix, max_distance: float) -> sparse.csr_matrix:
    """Compute the distances of all pairs with common support; rows of ``encoding`` sum to 1."""
    encoding.sort_indices()
    columns = encoding.tocsc()
    size = encoding.shape[0]
    by_row = (encoding.indptr, encoding.indices, encoding.data)
    by_column = (columns.indptr, columns.indices, columns.data)
    with ThreadPoolExecutor(thread_count()) as pool:
        parts = 16 * thread_count()  # small parts balance the load: later rows have fewer pairs
        arrays = (*by_row, *by_column, float(max_distance))
        results = map_ranges(pool, size, _upper_distances, *arrays, parts=parts)
    counts, column, distance = (np.concatenate(arrays) for arrays in zip(*results, strict=True))
    # Mirrored by hand: adding the transposed sparse matrix would drop pairs at distance 0.
    row = np.repeat(np.arange(size, dtype=np.int32), counts)
    pairs = (np.concatenate([column, row]), np.concatenate([row, column]))
    return sparse.csr_matrix((np.tile(distance, 2), pairs), shape=(size, size))


@numba.njit(cache=True, nogil=True)
def _distance(overlap):  # type: ignore[no-untyped-def]
    """Convert ``sum min(V_i, V_j)`` to a Jaccard distance, rounded to nine digits.

    Distances of duplicates are exact fractions such as 0.5; without rounding, the order of
    summation would put them on either side of an equal radius.
    """
    return np.rint(1e9 * max(0.0, 1.0 - overlap / (2.0 - overlap))) / 1e9


@numba.njit(cache=True, nogil=True)
def _upper_distances(  # type: ignore[no-untyped-def]
    a, b, row_pointer, columns, row_values, column_pointer, rows, column_values, max_distance
):
    """Compute the upper triangle of the distances for rows a to b.

    Args:
        a: First row.
        b: Row after the last.
        row_pointer: Row pointer of the encoding in CSR form.
        columns: Column indices in CSR form.
        row_values: Values in CSR form.
        column_pointer: Column pointer of the encoding in CSC form.
        rows: Row indices in CSC form.
        column_values: Values in CSC form.
        max_distance: Pairs at a larger distance are left out.

    Returns:
        Number of stored j > i for each row i, [b - a], and these columns j and their distances.
    """
    size = len(row_pointer) - 1
    overlap = np.zeros(size, np.float64)  # then the distance, of those in `touched`
    touched = np.empty(size, np.int32)
    counts = np.zeros(b - a, np.int64)
    column = np.empty(16 * (b - a), np.int32)
    distance = np.empty(len(column), np.float64)
    end = 0
    for i in range(a, b):
        num_touched = 0
        for p in range(row_pointer[i], row_pointer[i + 1]):
            q = column_pointer[columns[p] + 1] - 1
            while q >= column_pointer[columns[p]] and rows[q] > i:
                j, smaller = rows[q], min(row_values[p], column_values[q])
                if overlap[j] == 0 and smaller > 0:
                    touched[num_touched] = j
                    num_touched += 1
                overlap[j] += smaller
                q -= 1
        num_near = 0
        for j in touched[:num_touched]:
            overlap[j] = _distance(overlap[j])
            if overlap[j] <= max_distance:
                touched[num_near] = j
                num_near += 1
            else:
                overlap[j] = 0.0
        column = ensure_capacity(column, end + num_near)
        distance = ensure_capacity(distance, end + num_near)
        for j in np.sort(touched[:num_near]):
            column[end] = j
            distance[end] = overlap[j]
            overlap[j] = 0.0
            end += 1
        counts[i - a] = num_near
    return counts, column[:end], distance[:end]
