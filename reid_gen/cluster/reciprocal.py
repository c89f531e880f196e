"""k-reciprocal sets as sparse 0/1 matrices (Zhong et al., CVPR 2017, sections 3.2 and 3.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from reid_gen.types import Floats, Ints


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
    sets: sparse.csr_matrix, features: Floats, scale: Floats, index: Ints, k2: int
) -> sparse.csr_matrix:
    """V: softmax of the negative squared distance over each set, averaged over the k2 nearest.

    Args:
        sets: R*, [N, N].
        features: Unit rows, [N, D] float32.
        scale: Divides the squared distances of row i, [N]; ones leave them as they are.
        index: Neighbours, [N, k] with k >= k2 unless N is smaller.
        k2: Images over which encodings are averaged, itself included; 1 leaves them alone.

    Returns:
        [N, N] float32; every row sums to 1.
    """
    rows = np.repeat(np.arange(len(features)), np.diff(sets.indptr))
    distance = squared_distances(features, rows, sets.indices) / scale[rows]
    raised = np.exp(-distance)
    total = np.bincount(rows, weights=raised, minlength=len(features))
    weights = (raised / total[rows]).astype(np.float32)
    encoding = sparse.csr_matrix((weights, sets.indices, sets.indptr), shape=sets.shape)
    nearest = nearest_graph(index[:, :k2])
    return (nearest @ encoding).multiply(np.float32(1 / min(k2, index.shape[1]))).tocsr()


def squared_distances(features: Floats, rows: Ints, others: NDArray[np.integer]) -> Floats:
    """|x_r - x_o|^2 of each pair of unit rows, [pairs], in blocks."""
    result = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _PAIRS):
        pair = slice(start, start + _PAIRS)
        result[pair] = np.einsum("pd,pd->p", features[rows[pair]], features[others[pair]])
    return np.asarray(2 - 2 * result, dtype=np.float32)


_PAIRS = 16384
