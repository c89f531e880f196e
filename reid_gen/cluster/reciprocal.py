"""k-reciprocal sets as sparse matrices (Zhong et al., CVPR 2017, sections 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from scipy import sparse

from reid_gen.cluster.parallel import dot, readable, room_for, spread, threads
from reid_gen.types import Float32Array, Float64Array, Int64Array


def expanded_sets(index: Int64Array, count: int, k1: int) -> sparse.csr_matrix:
    """R*: reciprocal neighbours, and those of their own that they share by over two thirds.

    ``R(i, k)`` holds the j among the first k of i that have i among their own first k;
    ``R*(i) = R(i, count)`` with every ``R(c, k1 / 2)``, c in R(i), of which R(i) holds over 2/3.

    Args:
        index: Neighbours, [N, k] with k >= ``count`` unless N is smaller; column 0 is the image.
        count: Columns of the full sets, the image itself included.
        k1: Nominal number of neighbours; half of it, and the image, make the half sets.

    Returns:
        [N, N] of ones; the stored columns of row i are R*(i), in no order.
    """
    size = len(index)
    half_count = int(np.around(k1 / 2)) + 1
    with ThreadPoolExecutor(threads()) as pool:
        full = _joined(spread(pool, size, _mutual, index, count))
        half = _joined(spread(pool, size, _mutual, index, half_count))
        pointer, members = _joined(spread(pool, size, _expand, *full, *half))
    ones = np.ones(len(members), np.float32)
    return sparse.csr_matrix((ones, members, pointer), shape=(size, size))


def _joined(parts: Sequence[tuple[Int64Array, Int64Array]]) -> tuple[Int64Array, Int64Array]:
    """Where each set starts, [N + 1], and the members of all, from shares of the images."""
    sizes, members = (np.concatenate(of_all) for of_all in zip(*parts, strict=True))
    return np.concatenate([[0], np.cumsum(sizes)]), members


@numba.njit(cache=True, nogil=True)
def _mutual(a, b, index, count):  # type: ignore[no-untyped-def]
    """R(i, count) of images a to b: sizes [b - a], and the members of one after the other."""
    wide = min(count, index.shape[1])
    sizes = np.zeros(b - a, np.int64)
    members = np.empty((b - a) * wide, np.int32)
    end = 0
    for i in range(a, b):
        for p in range(wide):
            theirs = index[index[i, p]]
            for q in range(wide):
                if theirs[q] == i:
                    members[end] = index[i, p]
                    end += 1
                    sizes[i - a] += 1
                    break
    return sizes, members[:end]


@numba.njit(cache=True, nogil=True)
def _expand(a, b, pointer, members, half_pointer, half_members):  # type: ignore[no-untyped-def]
    """R* of images a to b in the same form, from all full and all half sets."""
    size = len(pointer) - 1
    inside, taken = np.full(size, -1, np.int32), np.full(size, -1, np.int32)
    sizes = np.zeros(b - a, np.int64)
    found = np.empty(2 * (pointer[b] - pointer[a]), np.int32)
    end = 0
    for i in range(a, b):
        own, start = members[pointer[i] : pointer[i + 1]], end
        found = room_for(found, end + len(own))
        for j in own:
            inside[j] = taken[j] = i
            found[end] = j
            end += 1
        for c in own:
            theirs = half_members[half_pointer[c] : half_pointer[c + 1]]
            shared = 0
            for j in theirs:
                shared += inside[j] == i
            if 3 * shared <= 2 * len(theirs):
                continue
            found = room_for(found, end + len(theirs))
            for j in theirs:
                if taken[j] != i:
                    taken[j] = i
                    found[end] = j
                    end += 1
        sizes[i - a] = end - start
    return sizes, found[:end]


def encode_sets(
    sets: sparse.csr_matrix,
    features: Float32Array,
    scale: Float32Array,
    index: Int64Array,
    k2: int,
    similarity: Float64Array,
) -> sparse.csr_matrix:
    """V: softmax of the negative squared distance over each set, averaged over the k2 nearest.

    Args:
        sets: R*, [N, N].
        features: Unit rows, [N, D] float32.
        scale: Divides the squared distances of row i, [N]; ones leave them as they are.
        index: Neighbours, [N, k] with k >= ``k2`` unless N is smaller.
        k2: Images over which encodings are averaged, itself included; 1 leaves them alone.
        similarity: Cosines of the neighbours, [N, k], which need not be computed again.

    Returns:
        [N, N] float64; every row sums to 1.
    """
    rows = np.repeat(np.arange(len(features)), np.diff(sets.indptr))
    distance = _squared_distances(sets, features, index, similarity) / scale[rows]
    raised = np.exp(-distance)
    total = np.bincount(rows, weights=raised, minlength=len(features))
    size, averaged = len(index), min(k2, index.shape[1])
    share = raised / (total[rows] * averaged)
    encoding = sparse.csr_matrix((share, sets.indices, sets.indptr), shape=sets.shape)
    if averaged == 1:  # not over the first neighbour, which may be a copy
        return encoding
    pointer = np.arange(0, size * averaged + 1, averaged)
    ones = np.ones(size * averaged, np.float32)
    nearest = sparse.csr_matrix((ones, index[:, :averaged].ravel(), pointer), shape=sets.shape)
    return nearest @ encoding


def _squared_distances(
    sets: sparse.csr_matrix, features: Float32Array, index: Int64Array, similarity: Float64Array
) -> Float64Array:
    """|x_i - x_j|^2 of every j in the set of i, [pairs]."""
    result = np.empty(len(sets.indices), dtype=np.float64)
    arrays = (sets.indptr, sets.indices, index, similarity, readable(features), result)
    with ThreadPoolExecutor(threads()) as pool:
        spread(pool, len(index), _measure, *arrays)
    return result


@numba.njit(cache=True, nogil=True)
def _measure(a, b, pointer, columns, index, similarity, features, result):  # type: ignore[no-untyped-def]
    """Squared distances of the sets of images a to b; only pairs that are no neighbours are new."""
    known = np.zeros(len(index), np.float64)
    owner = np.full(len(index), -1, np.int64)
    for i in range(a, b):
        for p in range(index.shape[1]):
            known[index[i, p]] = similarity[i, p]
            owner[index[i, p]] = i
        for p in range(pointer[i], pointer[i + 1]):
            j = columns[p]
            cosine = known[j] if owner[j] == i else dot(features[i], features[j])
            result[p] = 2 - 2 * cosine
