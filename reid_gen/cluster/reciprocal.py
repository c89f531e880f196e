"""k-reciprocal sets as sparse 0/1 matrices (Zhong et al., CVPR 2017, sections 3.2 and 3.3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from scipy import sparse

from reid_gen.cluster.rows import dot, readable, spread, threads
from reid_gen.types import Exact, Floats, Ints


def nearest_graph(index: Ints) -> sparse.csr_matrix:
    """0/1 matrix [N, N] with a 1 at each (i, index[i, p]), from neighbours [N, k]."""
    size, count = index.shape
    pointer = np.arange(0, size * count + 1, count)
    ones = np.ones(size * count, dtype=np.float32)
    return sparse.csr_matrix((ones, index.ravel(), pointer), shape=(size, size))


def expanded_sets(index: Ints, count: int, k1: int) -> sparse.csr_matrix:
    """R*: reciprocal neighbours, and those of their own that they share by over two thirds.

    ``R(i, k)`` holds the j among the first k of i that have i among their own first k;
    ``R*(i) = R(i, count)`` with every ``R(c, k1 / 2)``, c in R(i), of which R(i) holds over 2/3.

    Args:
        index: Neighbours, [N, k] with k >= ``count`` unless N is smaller; column 0 is the image.
        count: Columns of the full sets, the image itself included.
        k1: Nominal number of neighbours; half of it, and the image, make the half sets.

    Returns:
        [N, N]; the non-zero columns of row i are R*(i).
    """
    full = _reciprocal(index[:, :count])
    half = _reciprocal(index[:, : int(np.around(k1 / 2)) + 1])
    shared = (full @ half.T).multiply(full).tocoo()
    covered = 3 * shared.data > 2 * np.diff(half.indptr)[shared.col]
    keep = sparse.csr_matrix(
        (shared.data[covered], (shared.row[covered], shared.col[covered])), shape=full.shape
    )
    return (full + keep @ half).tocsr()


def _reciprocal(index: Ints) -> sparse.csr_matrix:
    graph = nearest_graph(index)
    return graph.multiply(graph.T).tocsr()


def encode_sets(
    sets: sparse.csr_matrix,
    features: Floats,
    scale: Floats,
    index: Ints,
    k2: int,
    similarity: Exact,
) -> sparse.csr_matrix:
    """V: softmax of the negative squared distance over each set, averaged over the k2 nearest.

    Args:
        sets: R*, [N, N].
        features: Unit rows, [N, D] float32.
        scale: Divides the squared distances of row i, [N]; ones leave them as they are.
        index: Neighbours, [N, k] with k >= k2 unless N is smaller.
        k2: Images over which encodings are averaged, itself included; 1 leaves them alone.
        similarity: Cosines of the neighbours, [N, k], which need not be computed again.

    Returns:
        [N, N] float64; every row sums to 1.
    """
    rows = np.repeat(np.arange(len(features)), np.diff(sets.indptr))
    distance = _squared_distances(sets, features, index, similarity) / scale[rows]
    raised = np.exp(-distance)
    total = np.bincount(rows, weights=raised, minlength=len(features))
    nearest = nearest_graph(index[:, :k2])
    share = raised / (total[rows] * min(k2, index.shape[1]))
    return nearest @ sparse.csr_matrix((share, sets.indices, sets.indptr), shape=sets.shape)


def _squared_distances(
    sets: sparse.csr_matrix, features: Floats, index: Ints, similarity: Exact
) -> Exact:
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
