"""Nearest neighbours, exact or approximate: the only file that imports faiss, where it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from reid_gen.choices import KnnName
from reid_gen.cluster.knn.exact_cpu import nearest_among, nearest_certified
from reid_gen.cluster.knn.exact_gpu import nearest_on
from reid_gen.cluster.knn.topk import best_matches
from reid_gen.data.sampling import evenly_spaced_indices
from reid_gen.errors import UserError
from reid_gen.types import Float32Array, Float64Array, Int64Array

_BLOCK = 4096
_FEW = 10_000
"""Images from which on cells of them are worth making."""
_SAMPLE = 1000
"""Rows on which the recall of approximate neighbours is measured."""


@dataclass(frozen=True)
class Neighbours:
    """The k most similar images of every image, itself first.

    Attributes:
        index: [N, k] int64, by falling similarity after column 0, which is the image itself.
        similarity: Cosine similarities of the same, [N, k] float64; of approximate neighbours as
            precise as float32.
        recall: Share of the true neighbours among these; 1 where they are exact, else measured on
            some rows.
    """

    index: Int64Array
    similarity: Float64Array
    recall: float = 1.0


def nearest(features: Float32Array, count: int, method: KnnName = "exact") -> Neighbours:
    """Find the ``count`` nearest neighbours by cosine similarity.

    Args:
        features: Unit rows, [N, D] float32, or float16, which may be memory-mapped.
        count: Neighbours per image, itself included; capped at N.
        method: A key of ``METHODS``.

    Returns:
        Neighbours, [N, min(count, N)].

    Raises:
        UserError: If the method is unknown.
    """
    if method not in METHODS:
        raise UserError(f"unknown neighbours {method!r}; known: {', '.join(METHODS)}")
    wanted = min(count, len(features))
    index, similarity = METHODS[method].search(features, wanted)
    recall = 1.0 if METHODS[method].exact else _recall(features, index)
    _put_self_first(index, similarity)
    return Neighbours(index, similarity, recall)


def _exact(features: Float32Array, count: int) -> tuple[Int64Array, Float64Array]:
    """By low-precision products that are checked again (``certified``)."""
    if torch.cuda.is_available():
        return nearest_on(torch.device("cuda"), features, count)
    return nearest_certified(features, count)


def _faiss() -> Any:
    """The module; exact neighbours do without it.

    Raises:
        UserError: If it does not load.
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
    """By faiss, float32 throughout, on all GPUs that it was built for and finds."""
    faiss = _faiss()
    index = faiss.IndexFlatIP(features.shape[1])
    if faiss.get_num_gpus() > 0:
        index = faiss.index_cpu_to_all_gpus(index)
    return _search(index, features, count)


def _ivf(features: Float32Array, count: int) -> tuple[Int64Array, Float64Array]:
    """By faiss, among 256 principal directions in 4 bits for two, in the 256 nearest of many cells.

    The nearest by these codes, four times as many as are wanted, are compared exactly.
    """
    size, width = features.shape
    if size < _FEW:
        return _exact(features, count)
    faiss = _faiss()
    cells, kept = round(4 * size**0.5), min(256, width)
    codes = kept // 2 if kept % 2 == 0 else kept
    # The directions are those of centred features, of which only distances mean the same.
    index = faiss.index_factory(width, f"PCAR{kept},IVF{cells},PQ{codes}x4fs", faiss.METRIC_L2)
    inner = faiss.extract_index_ivf(index)
    inner.by_residual = False  # a table of codes for every cell would cost twenty times the search
    inner.nprobe = 256
    inner.cp.min_points_per_centroid = 1  # else faiss warns on the console
    some = np.random.default_rng(0).permutation(size)[: 40 * cells]
    index.train(np.asarray(features[np.sort(some)], np.float32))
    candidates, _ = _search(index, features, min(size, 4 * count))
    return nearest_among(features, candidates, count)


def _hnsw(features: Float32Array, count: int) -> tuple[Int64Array, Float64Array]:
    """By faiss, along a graph with 32 links per image."""
    faiss = _faiss()
    index = faiss.IndexHNSWFlat(features.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 80
    index.hnsw.efSearch = max(64, 2 * count)
    return _search(index, features, count)


@dataclass(frozen=True)
class KnnMethod:
    """A search of nearest neighbours.

    Attributes:
        search: Function from features [N, D] and a count k to row indices and similarities [N, k].
        exact: Whether it finds the true neighbours; recall is measured for the others.
    """

    search: Callable[[Float32Array, int], tuple[Int64Array, Float64Array]]
    exact: bool


METHODS: dict[KnnName, KnnMethod] = {
    "exact": KnnMethod(_exact, exact=True),
    "flat": KnnMethod(_flat, exact=True),
    "ivf": KnnMethod(_ivf, exact=False),
    "hnsw": KnnMethod(_hnsw, exact=False),
}
"""Methods by their name in ``clustering.neighbours``."""


def _search(index: Any, features: Float32Array, count: int) -> tuple[Int64Array, Float64Array]:
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(features), _BLOCK)]
    for block in blocks:
        index.add(np.ascontiguousarray(features[block], np.float32))
    found = [index.search(np.ascontiguousarray(features[b], np.float32), count) for b in blocks]
    similarity = np.concatenate([block[0] for block in found]).astype(np.float64)
    numbers = np.concatenate([block[1] for block in found]).astype(np.int64)
    # An approximate search may find fewer: the image itself stands in for the rest.
    missing = numbers < 0
    similarity[missing] = 1
    return np.where(missing, np.arange(len(numbers))[:, None], numbers), similarity


def _recall(features: Float32Array, index: Int64Array) -> float:
    """Share of the true neighbours that were found, on rows evenly spread over all."""
    rows = evenly_spaced_indices(len(features), _SAMPLE)
    count = index.shape[1]
    true = best_matches(features[rows], features, count).index
    hits = [len(np.intersect1d(a, b)) for a, b in zip(true, index[rows], strict=True)]
    return float(np.mean(hits) / count)


def _put_self_first(index: Int64Array, similarity: Float64Array) -> None:
    """Exact duplicates can rank before the image itself, or push it off the end."""
    own = index == np.arange(len(index))[:, None]
    rows = np.flatnonzero(~own[:, 0])
    columns = np.arange(index.shape[1])
    place = np.where(own[rows].any(axis=1), own[rows].argmax(axis=1), columns[-1])[:, None]
    order = np.where(columns <= place, columns - 1, columns)
    order[:, 0] = place[:, 0]
    similarity[rows] = np.take_along_axis(similarity[rows], order, axis=1)
    index[rows] = np.take_along_axis(index[rows], order, axis=1)
    index[rows, 0] = rows
