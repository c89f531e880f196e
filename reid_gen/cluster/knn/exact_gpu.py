"""Exact k-nearest-neighbour search on a GPU: float32 candidates, re-ranked in float64."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reid_gen.runtime.precision import full_float32
from reid_gen.types import Float32Array, Float64Array, Int64Array

_MAX_PRODUCTS = 2**28
"""Float32 products held at once: 1 GiB."""
_RERANK_ROWS = 256
"""Rows whose candidates are re-ranked at once."""
_COPY_ROWS = 65536
"""Rows that are copied to the device, or compared in float64, at once."""
EXTRA_CANDIDATES = 32
"""Float32 candidates per row beyond the requested neighbours."""


@full_float32()
def exact_knn_gpu(
    device: torch.device,
    features: Float32Array,
    count: int,
    extra_candidates: int = EXTRA_CANDIDATES,
) -> tuple[Int64Array, Float64Array]:
    """Find the ``count`` most similar rows of every row, the row itself among them, as in float64.

    The error of a float32 product of unit rows is at most ``D * 2^-24``. A row whose last candidate
    is within twice this bound of its count-th neighbour is compared with all rows in float64.

    Args:
        device: Device; it must hold all features and 2 GiB more.
        features: L2-normalised features, [N, D].
        count: Number of neighbours, at most N.
        extra_candidates: Float32 candidates per row beyond ``count``.

    Returns:
        Row indices [N, count] int64 by decreasing cosine similarity, ties by increasing index, and
        cosine similarities [N, count] float64.
    """
    size, width = features.shape
    gallery = torch.empty(size, width, device=device)
    for start in range(0, size, _COPY_ROWS):
        block = slice(start, start + _COPY_ROWS)
        gallery[block] = torch.from_numpy(np.array(features[block], np.float32))
    batch_rows = max(1, min(4096, _MAX_PRODUCTS // size))
    num_candidates = min(size, count + extra_candidates)
    error = width * 2.0**-24
    index = np.empty((size, count), np.int64)
    cosine = np.empty((size, count), np.float64)
    for start in range(0, size, batch_rows):
        query = gallery[start : start + batch_rows]
        products, candidates = torch.topk(query @ gallery.T, num_candidates, dim=1)
        # Sorted by index, so that the stable sort by similarity orders ties by index.
        candidates = candidates.sort(dim=1).values
        best, values = _rank_candidates(query, gallery, candidates, count)
        certain = products[:, -1].double() + 2 * error < values[:, -1]
        if num_candidates < size and not bool(certain.all()):
            uncertain = torch.nonzero(~certain).flatten()
            best[uncertain], values[uncertain] = _rank_all(query[uncertain], gallery, count)
        rows = slice(start, start + len(query))
        index[rows], cosine[rows] = best.cpu().numpy(), values.cpu().numpy()
    return index, cosine


def _rank_candidates(
    query: Tensor, gallery: Tensor, candidates: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Rank each query's candidates [b, c] by float64 products; returns [b, count] twice."""
    blocks = zip(
        torch.split(query, _RERANK_ROWS), torch.split(candidates, _RERANK_ROWS), strict=True
    )
    exact = torch.cat(
        [
            torch.einsum("bd,bcd->bc", rows.double(), gallery[columns].double())
            for rows, columns in blocks
        ]
    )
    values, order = torch.sort(exact, dim=1, descending=True, stable=True)
    return candidates.gather(1, order)[:, :count], values[:, :count]


def _rank_all(query: Tensor, gallery: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Rank the whole gallery for each query by float64 products; returns [b, count] twice."""
    block_rows = max(1, min(_RERANK_ROWS, _MAX_PRODUCTS // (8 * len(gallery))))
    results = []
    for rows in torch.split(query, block_rows):
        shards = torch.split(gallery, _COPY_ROWS)
        exact = torch.cat([rows.double() @ shard.T.double() for shard in shards], dim=1)
        values, order = torch.sort(exact, dim=1, descending=True, stable=True)
        results.append((order[:, :count], values[:, :count]))
    best, cosines = zip(*results, strict=True)
    return torch.cat(best), torch.cat(cosines)
