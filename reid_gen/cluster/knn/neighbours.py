"""k-nearest-neighbour search, exact or approximate; the only module that imports faiss, lazily."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from reid_gen.choices import KnnName
from reid_gen.cluster.knn.exact_cpu import exact_knn_cpu, knn_among_candidates
from reid_gen.cluster.knn.exact_gpu import exact_knn_gpu
from reid_gen.cluster.knn.topk import best_matches
from reid_gen.data.sampling import evenly_spaced_indices
from reid_gen.errors import UserError
from reid_gen.types import Float32Array, Float64Array, Int64Array

_BLOCK = 4096
"""Rows per call of a faiss index."""
_MIN_IVF_IMAGES = 10_000
"""Below this many images the exact search is used in place of an inverted file."""
_RECALL_ROWS = 1000
"""Rows on which the recall of approximate neighbours is measured."""


@dataclass(frozen=True)
class Neighbours:
    """The k nearest neighbours of every image; the first is the image itself.

    Attributes:
        index: Row indices, [N, k] int64; column 0 is the image itself, then by decreasing
            similarity.
        similarity: Cosine similarities of these rows, [N, k] float64; with float32 precision for
            faiss methods other than ``ivf``.
        recall: Share of the true neighbours that were found: 1 for exact methods, otherwise
            estimated on a sample of rows.
    """

    index: Int64Array
    similarity: Float64Array
    recall: float = 1.0


def nearest(features: Float32Array, count: int, method: KnnName = "exact") -> Neighbours:
    """Find the ``count`` nearest neighbours by cosine similarity.

    Args:
        features: L2-normalised features, [N, D] float32 or float16; may be memory-mapped.
        count: Number of neighbours per image, the image itself included; capped at N.
        method: Search method, a key of ``METHODS``.

    Returns:
        The neighbours, [N, min(count, N)].

    Raises:
        UserError: If the method is unknown.
    """
    if method not in METHODS:
        raise UserError(f"unknown neighbours {method!r}; known: {', '.join(METHODS)}")
    index, similarity = METHODS[method].search(features, min(count, len(features)))
    recall = 1.0 if METHODS[method].exact else _recall(features, index)
    _move_self_first(index, similarity)
    return Neighbours(index, similarity, recall)


def _exact(features: Float32Array, count: int) -> tuple[Int64Array, Float64Array]:
    """Search exactly, on the GPU if there is one."""
    if torch.cuda.is_available():
        return exact_knn_gpu(torch.device("cuda"), features, count)
    return exact_knn_cpu(features, count)


def _faiss() -> Any:
    """Import faiss, which the exact search does not need.

    Raises:
        UserError: If it cannot be imported.
    """
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            f"flat, ivf and hnsw neighbours need faiss, which does not load ({error}); take exact "
            "ones, or pip install faiss-cpu"
        ) from error
    return faiss


def _flat(features: Float32Array, count: int) -> tuple[Int64Array, Float64Array]:
    """Search exhaustively in float32 with faiss, on all GPUs that faiss supports and finds."""
    faiss = _faiss()
    index = faiss.IndexFlatIP(features.shape[1])
    if faiss.get_num_gpus() > 0:
        index = faiss.index_cpu_to_all_gpus(index)
    return _search(index, features, count)


def _ivf(features: Float32Array, count: int) -> tuple[Int64Array, Float64Array]:
    """Search an inverted file of product-quantised features with faiss, then re-rank exactly.

    Features are projected to 256 principal components and stored as 4-bit codes of two components
    each. Of the 256 nearest cells, ``4 * count`` candidates are re-ranked in float64.
    """
    size, width = features.shape
    if size < _MIN_IVF_IMAGES:
        return _exact(features, count)
    faiss = _faiss()
    cells, components = round(4 * size**0.5), min(256, width)
    codes = components // 2 if components % 2 == 0 else components
    # PCA centres the features, which changes inner products but not distances: hence L2.
    spec = f"PCAR{components},IVF{cells},PQ{codes}x4fs"
    index = faiss.index_factory(width, spec, faiss.METRIC_L2)
    ivf = faiss.extract_index_ivf(index)
    ivf.by_residual = False  # lookup tables per cell would make the search twenty times as slow
    ivf.nprobe = 256
    ivf.cp.min_points_per_centroid = 1  # else faiss prints a warning
    sample = np.random.default_rng(0).permutation(size)[: 40 * cells]
    index.train(np.asarray(features[np.sort(sample)], np.float32))
    candidates, _ = _search(index, features, min(size, 4 * count))
    return knn_among_candidates(features, candidates, count)


def _hnsw(features: Float32Array, count: int) -> tuple[Int64Array, Float64Array]:
    """Search an HNSW graph with 32 links per image with faiss."""
    faiss = _faiss()
    index = faiss.IndexHNSWFlat(features.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 80
    index.hnsw.efSearch = max(64, 2 * count)
    return _search(index, features, count)


@dataclass(frozen=True)
class KnnMethod:
    """A method of nearest-neighbour search.

    Attributes:
        search: Function from features [N, D] and a count k to row indices and similarities [N, k].
        exact: Whether it finds the true neighbours; otherwise its recall is measured.
    """

    search: Callable[[Float32Array, int], tuple[Int64Array, Float64Array]]
    exact: bool


METHODS: dict[KnnName, KnnMethod] = {
    "exact": KnnMethod(_exact, exact=True),
    "flat": KnnMethod(_flat, exact=True),
    "ivf": KnnMethod(_ivf, exact=False),
    "hnsw": KnnMethod(_hnsw, exact=False),
}
"""Search methods by their name in ``clustering.neighbours``."""


def _search(index: Any, features: Float32Array, count: int) -> tuple[Int64Array, Float64Array]:
    """Add all features to a faiss index and search it for each of them."""
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(features), _BLOCK)]
    for block in blocks:
        index.add(np.ascontiguousarray(features[block], np.float32))
    results = [index.search(np.ascontiguousarray(features[b], np.float32), count) for b in blocks]
    similarity = np.concatenate([scores for scores, _ in results]).astype(np.float64)
    rows = np.concatenate([labels for _, labels in results]).astype(np.int64)
    # An approximate search may find fewer than `count`: the image itself fills the rest.
    missing = rows < 0
    similarity[missing] = 1
    return np.where(missing, np.arange(len(rows))[:, None], rows), similarity


def _recall(features: Float32Array, index: Int64Array) -> float:
    """Estimate the share of true neighbours that were found, on evenly spaced rows."""
    rows = evenly_spaced_indices(len(features), _RECALL_ROWS)
    count = index.shape[1]
    true_index = best_matches(features[rows], features, count).index
    hits = [len(np.intersect1d(a, b)) for a, b in zip(true_index, index[rows], strict=True)]
    return float(np.mean(hits) / count)


def _move_self_first(index: Int64Array, similarity: Float64Array) -> None:
    """Move each image to column 0, in place; duplicates may rank before it or crowd it out."""
    is_self = index == np.arange(len(index))[:, None]
    rows = np.flatnonzero(~is_self[:, 0])
    columns = np.arange(index.shape[1])
    last = columns[-1]
    column = np.where(is_self[rows].any(axis=1), is_self[rows].argmax(axis=1), last)[:, None]
    order = np.where(columns <= column, columns - 1, columns)
    order[:, 0] = column[:, 0]
    similarity[rows] = np.take_along_axis(similarity[rows], order, axis=1)
    index[rows] = np.take_along_axis(index[rows], order, axis=1)
    index[rows, 0] = rows
