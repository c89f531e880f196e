"""k-reciprocal re-ranking (Zhong et al., CVPR 2017) in the form of the common libraries."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from reid_gen.cluster.reciprocal import encode_sets, expanded_sets
from reid_gen.types import Floats, Ints

VARIANT = "zhong"
_BLOCK = 512


def rerank(
    query: Floats, gallery: Floats, *, k1: int = 20, k2: int = 6, weight: float = 0.3
) -> Floats:
    """Re-rank: ``(1 - weight) * Jaccard distance + weight * original distance``.

    The variant ``zhong``: squared Euclidean distances of query and gallery together, each row
    divided by its maximum; k1 others beside the image itself; encodings weighted by
    ``exp(-distance)`` and averaged over the k2 nearest. Memory is [Q, G] for the result plus
    blocks; no (Q + G)^2 array.

    Args:
        query: Unit features, [Q, D].
        gallery: Unit features, [G, D].
        k1: Neighbours of the reciprocal sets.
        k2: Images over which encodings are averaged, itself included.
        weight: Of the original distance, in 0..1 (lambda in the paper).

    Returns:
        Distances [Q, G] float32.
    """
    features = np.concatenate([query, gallery]).astype(np.float32)
    index, scale = _neighbours(features, min(k1 + 1, len(features)))
    encoding = encode_sets(expanded_sets(index, k1 + 1, k1), features, scale, index, k2)
    count = len(query)
    by_column = encoding[count:].tocsc()
    result = _jaccard(
        *_arrays(encoding[:count]), *_arrays(by_column), np.empty((count, len(gallery)), np.float32)
    )
    for start in range(0, count, _BLOCK):
        rows = slice(start, min(start + _BLOCK, count))
        original = _squared(features[rows], gallery) / scale[rows, None]
        result[rows] = (1 - weight) * result[rows] + weight * original
    return result


def _squared(a: Floats, b: Floats) -> Floats:
    return np.asarray(2 - 2 * (a @ b.T), dtype=np.float32)


def _neighbours(features: Floats, count: int) -> tuple[Ints, Floats]:
    """The ``count`` nearest of each image, [N, count], and its largest distance, [N]."""
    index = np.empty((len(features), count), dtype=np.int64)
    scale = np.empty(len(features), dtype=np.float32)
    for start in range(0, len(features), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distance = _squared(features[rows], features)
        scale[rows] = distance.max(axis=1)
        near = np.argpartition(distance, count - 1, axis=1)[:, :count]
        near.sort(axis=1)  # so that equal distances keep the order of the images
        order = np.argsort(np.take_along_axis(distance, near, axis=1), axis=1, kind="stable")
        index[rows] = np.take_along_axis(near, order, axis=1)
    return index, np.maximum(scale, np.finfo(np.float32).tiny)


def _arrays(matrix: Any) -> tuple[Any, Any, Any]:
    return matrix.indptr, matrix.indices, matrix.data


@numba.njit(cache=True, nogil=True)
def _jaccard(pointer, columns, values, by_column, rows, weights, result):  # type: ignore[no-untyped-def]
    """``1 - sum min / sum max`` of every row with all columns' rows, into ``result`` [Q, G]."""
    for i in range(result.shape[0]):
        shared = np.zeros(result.shape[1], np.float64)
        for p in range(pointer[i], pointer[i + 1]):
            for q in range(by_column[columns[p]], by_column[columns[p] + 1]):
                shared[rows[q]] += min(values[p], weights[q])
        for j in range(result.shape[1]):
            result[i, j] = max(0.0, 1.0 - shared[j] / (2.0 - shared[j]))
    return result
