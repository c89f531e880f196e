"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), as implemented by the common toolboxes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

from reid_gen.cluster.knn.exact_cpu import exact_knn_cpu, fastest_plan
from reid_gen.cluster.reciprocal import encode_reciprocal_sets, expanded_reciprocal_sets
from reid_gen.types import Float32Array

VARIANT = "zhong"
_BLOCK = 512


def rerank(
    query: Float32Array, gallery: Float32Array, *, k1: int = 20, k2: int = 6, weight: float = 0.3
) -> Float32Array:
    """Compute the full matrix of re-ranked distances, [Q, G] float32.

    Arguments are those of :class:`RerankedDistances`.
    """
    blocks = RerankedDistances(query, gallery, k1, k2, weight)
    return np.concatenate([block for _, block in blocks])


class RerankedDistances:
    """Re-ranked distances: ``(1 - weight) * Jaccard distance + weight * original distance``.

    The variant ``zhong``: the original distances are squared Euclidean distances among query and
    gallery together, each row divided by its maximum; an image has k1 neighbours besides itself;
    encodings are weighted by ``exp(-distance)`` and averaged over the k2 nearest images. Memory
    grows with Q + G, not with Q x G. Iterating yields blocks of queries, and may be repeated.

    Args:
        query: L2-normalised query features, [Q, D].
        gallery: L2-normalised gallery features, [G, D].
        k1: Number of neighbours in the k-reciprocal sets.
        k2: Number of images over which encodings are averaged, the image itself included.
        weight: Weight of the original distance, in 0..1 (lambda in the paper).
    """

    def __init__(
        self,
        query: Float32Array,
        gallery: Float32Array,
        k1: int = 20,
        k2: int = 6,
        weight: float = 0.3,
    ) -> None:
        self.features = np.concatenate([query, gallery]).astype(np.float32)
        self.count = len(query)
        self.weight = weight
        neighbours = min(max(k1 + 1, k2), len(self.features))
        plan = fastest_plan(self.features, neighbours)
        index, similarity = exact_knn_cpu(self.features, neighbours, plan)
        least = exact_knn_cpu(self.features, 1, plan, smallest=True)[1][:, 0]
        # The squared distance of each image to the image farthest from it.
        self.scale = np.maximum(2 - 2 * least, np.finfo(np.float32).tiny).astype(np.float32)
        sets = expanded_reciprocal_sets(index, k1 + 1, k1)
        self.encoding = encode_reciprocal_sets(
            sets, self.features, self.scale, index, k2, similarity
        )
        self.by_column = self.encoding[self.count :].tocsc()

    def __iter__(self) -> Iterator[tuple[int, Float32Array]]:
        """Yield the index of a block's first query, and its distances [b, G] float32."""
        gallery, weight = self.features[self.count :], np.float32(self.weight)
        for start in range(0, self.count, _BLOCK):
            rows = slice(start, min(start + _BLOCK, self.count))
            jaccard = np.empty((rows.stop - rows.start, len(gallery)), np.float32)
            _jaccard(*_csr_arrays(self.encoding[rows]), *_csr_arrays(self.by_column), jaccard)
            original = (2 - 2 * (self.features[rows] @ gallery.T)) / self.scale[rows, None]
            yield start, (1 - weight) * jaccard + weight * original


def _csr_arrays(matrix: Any) -> tuple[Any, Any, Any]:
    return matrix.indptr, matrix.indices, matrix.data


@numba.njit(cache=True, nogil=True)
def _jaccard(pointer, columns, values, by_column, rows, weights, result):  # type: ignore[no-untyped-def]
    """Write the Jaccard distances ``1 - sum min / sum max`` of encodings into ``result`` [Q, G].

    The query encodings come as CSR arrays, those of the gallery as CSC arrays. Encodings sum to 1,
    so that ``sum max = 2 - sum min``.
    """
    for i in range(result.shape[0]):
        shared = np.zeros(result.shape[1], np.float64)
        for p in range(pointer[i], pointer[i + 1]):
            for q in range(by_column[columns[p]], by_column[columns[p] + 1]):
                shared[rows[q]] += min(values[p], weights[q])
        for j in range(result.shape[1]):
            result[i, j] = max(0.0, 1.0 - shared[j] / (2.0 - shared[j]))
