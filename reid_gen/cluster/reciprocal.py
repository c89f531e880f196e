"""k-reciprocal sets and their encodings as sparse matrices (Zhong et al., CVPR 2017, 3.2-3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from scipy import sparse

from reid_gen.cluster.parallel import dot, ensure_capacity, map_ranges, numba_view, thread_count
from reid_gen.types import Float32Array, Float64Array, Int64Array


def expanded_reciprocal_sets(index: Int64Array, count: int, k1: int) -> sparse.csr_matrix:
    """Compute the expanded k-reciprocal sets R* (eq. 2 and 3 of the paper).

    ``R(i, k)`` are the j among the k nearest neighbours of i that have i among their own k nearest.
    ``R*(i)`` is ``R(i, count)`` united with every ``R(c, k1 / 2)``, c in R(i), of which over 2/3
    are in R(i).

    Args:
        index: Nearest neighbours, [N, k] with k >= ``count`` unless N is smaller; column 0 is the
            image itself.
        count: Number of neighbours of the full sets, the image itself included.
        k1: Number of neighbours in the paper's sense; the half sets have ``k1 / 2`` and the image.

    Returns:
        Sparse [N, N] of ones; the stored columns of row i are R*(i), unsorted.
    """
    size = len(index)
    half_count = int(np.around(k1 / 2)) + 1
    with ThreadPoolExecutor(thread_count()) as pool:
        full = _concatenate_sets(map_ranges(pool, size, _reciprocal_sets, index, count))
        half = _concatenate_sets(map_ranges(pool, size, _reciprocal_sets, index, half_count))
        pointer, members = _concatenate_sets(map_ranges(pool, size, _expand_sets, *full, *half))
    ones = np.ones(len(members), np.float32)
    return sparse.csr_matrix((ones, members, pointer), shape=(size, size))


def _concatenate_sets(
    parts: Sequence[tuple[Int64Array, Int64Array]],
) -> tuple[Int64Array, Int64Array]:
    """Concatenate the sets of all parts to CSR form: row pointer [N + 1] and members."""
    sizes, members = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return np.concatenate([[0], np.cumsum(sizes)]), members


@numba.njit(cache=True, nogil=True)
def _reciprocal_sets(a, b, index, count):  # type: ignore[no-untyped-def]
    """Compute R(i, count) of images a to b: set sizes [b - a] and concatenated members."""
    k = min(count, index.shape[1])
    sizes = np.zeros(b - a, np.int64)
    members = np.empty((b - a) * k, np.int32)
    end = 0
    for i in range(a, b):
        for p in range(k):
            candidate_row = index[index[i, p]]
            for q in range(k):
                if candidate_row[q] == i:
                    members[end] = index[i, p]
                    end += 1
                    sizes[i - a] += 1
                    break
    return sizes, members[:end]


@numba.njit(cache=True, nogil=True)
def _expand_sets(a, b, pointer, members, half_pointer, half_members):  # type: ignore[no-untyped-def]
    """Compute R* of images a to b, as sizes and members, from the full and half sets of all."""
    size = len(pointer) - 1
    # The last image whose R and R* hold column j; saves clearing two masks per image.
    in_full, in_expanded = np.full(size, -1, np.int32), np.full(size, -1, np.int32)
    sizes = np.zeros(b - a, np.int64)
    expanded = np.empty(2 * (pointer[b] - pointer[a]), np.int32)
    end = 0
    for i in range(a, b):
        full_set, start = members[pointer[i] : pointer[i + 1]], end
        expanded = ensure_capacity(expanded, end + len(full_set))
        for j in full_set:
            in_full[j] = in_expanded[j] = i
            expanded[end] = j
            end += 1
        for c in full_set:
            half_set = half_members[half_pointer[c] : half_pointer[c + 1]]
            shared = 0
            for j in half_set:
                shared += in_full[j] == i
            if 3 * shared <= 2 * len(half_set):
                continue
            expanded = ensure_capacity(expanded, end + len(half_set))
            for j in half_set:
                if in_expanded[j] != i:
                    in_expanded[j] = i
                    expanded[end] = j
                    end += 1
        sizes[i - a] = end - start
    return sizes, expanded[:end]


def encode_reciprocal_sets(
    sets: sparse.csr_matrix,
    features: Float32Array,
    scale: Float32Array,
    index: Int64Array,
    k2: int,
    similarity: Float64Array,
) -> sparse.csr_matrix:
    """Encode each set as V: softmax of negative squared distances, averaged over the k2 nearest.

    Args:
        sets: Expanded reciprocal sets R*, [N, N].
        features: L2-normalised features, [N, D] float32.
        scale: Divisor of the squared distances of each row, [N]; ones for no scaling.
        index: Nearest neighbours, [N, k] with k >= ``k2`` unless N is smaller.
        k2: Number of images over which encodings are averaged (local query expansion), the image
            itself included; 1 for no averaging.
        similarity: Cosine similarities of the neighbours, [N, k], reused instead of recomputed.

    Returns:
        Encodings, sparse [N, N] float64; every row sums to 1.
    """
    rows = np.repeat(np.arange(len(features)), np.diff(sets.indptr))
    distance = _squared_distances(sets, features, index, similarity) / scale[rows]
    exponentials = np.exp(-distance)
    total = np.bincount(rows, weights=exponentials, minlength=len(features))
    size, averaged = len(index), min(k2, index.shape[1])
    weight = exponentials / (total[rows] * averaged)
    encoding = sparse.csr_matrix((weight, sets.indices, sets.indptr), shape=sets.shape)
    if averaged == 1:  # the first neighbour may be a duplicate of the image
        return encoding
    pointer = np.arange(0, size * averaged + 1, averaged)
    ones = np.ones(size * averaged, np.float32)
    nearest = sparse.csr_matrix((ones, index[:, :averaged].ravel(), pointer), shape=sets.shape)
    return nearest @ encoding


def _squared_distances(
    sets: sparse.csr_matrix, features: Float32Array, index: Int64Array, similarity: Float64Array
) -> Float64Array:
    """Squared Euclidean distance of every stored pair (i, j) of the sets, [pairs]."""
    result = np.empty(len(sets.indices), dtype=np.float64)
    arrays = (sets.indptr, sets.indices, index, similarity, numba_view(features), result)
    with ThreadPoolExecutor(thread_count()) as pool:
        map_ranges(pool, len(index), _fill_squared_distances, *arrays)
    return result


@numba.njit(cache=True, nogil=True)
def _fill_squared_distances(a, b, pointer, columns, index, similarity, features, result):  # type: ignore[no-untyped-def]
    """Fill in squared distances of images a to b; known cosine similarities are reused."""
    known = np.zeros(len(index), np.float64)
    # The image to which known[j] belongs; saves clearing the array for each image.
    owner = np.full(len(index), -1, np.int64)
    for i in range(a, b):
        for p in range(index.shape[1]):
            known[index[i, p]] = similarity[i, p]
            owner[index[i, p]] = i
        for p in range(pointer[i], pointer[i + 1]):
            j = columns[p]
            cosine = known[j] if owner[j] == i else dot(features[i], features[j])
            result[p] = 2 - 2 * cosine
