"""Exact k-nearest-neighbour search on the CPU at the speed of low-precision matrix products.

The error of a product in bfloat16 (or float32, where bfloat16 is not native) is bounded, and the
bound follows from the rounding of the features. Every pair whose product is within this margin of
an image's k-th best so far stays a candidate, and the remaining candidates are compared in float64.
The result is that of float64 on every machine, ties going to the lower row index. Source: own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from tempfile import NamedTemporaryFile

import numpy as np
import torch
from torch import Tensor

from reid_gen.cluster.knn.exact_kernels import (
    Candidates,
    init_thresholds,
    rank_all,
    rank_candidates,
    rank_listed,
    scan_columns,
    scan_rows,
)
from reid_gen.cluster.parallel import map_ranges, numba_view, thread_count
from reid_gen.runtime.precision import resolve_dtype
from reid_gen.types import Float32Array, Float64Array, Int64Array

ROWS, COLUMNS = 1024, 4096
"""Size of a tile of products; it fits in the CPU's cache."""
_UNIT_ROUNDOFF = {torch.bfloat16: 2.0**-9, torch.float32: 2.0**-24}
"""Largest relative rounding error of a stored value."""
_CONVERT_ROWS = 512
"""Rows that are converted at once, so that their copies stay in the cache."""


def exact_knn_cpu(
    features: Float32Array, count: int, precision: torch.dtype | None = None
) -> tuple[Int64Array, Float64Array]:
    """Find the ``count`` most similar rows of every row, the row itself among them.

    Args:
        features: L2-normalised features, [N, D] float32 or float16; may be memory-mapped.
        count: Number of neighbours, at most N.
        precision: Precision of the products, bfloat16 or float32; it does not change the result.
            None takes bfloat16 where it is native.

    Returns:
        Row indices [N, count] int64 by decreasing cosine similarity, ties by increasing index, and
        cosine similarities [N, count] float64.

    Raises:
        ValueError: If the count is out of range.
    """
    size, width = features.shape
    if not 1 <= count <= size:
        raise ValueError(f"count must be in 1..{size}, got {count}")
    if precision is None:
        precision = resolve_dtype("bf16", torch.device("cpu"))
    rounded, row_error, norm = _round_rows(features, precision)
    summation_error = (_UNIT_ROUNDOFF[precision] + width * 2.0**-24) * norm**2
    product_error = 2 * norm * row_error + row_error**2 + summation_error
    margin = np.float32(2 * product_error)
    candidates = Candidates.empty(size, count)
    with ThreadPoolExecutor(thread_count()) as pool:
        _collect_candidates(rounded, candidates, count, margin, pool)
        del rounded
        return _rank_candidates(features, candidates, count, margin, pool)


def knn_among_candidates(
    features: Float32Array, candidates: Int64Array, count: int
) -> tuple[Int64Array, Float64Array]:
    """Find the ``count`` most similar of every row's candidates, compared in float64.

    Args:
        features: L2-normalised features, [N, D] float32 or float16; may be memory-mapped.
        candidates: Row indices, [N, R]; duplicates count once.
        count: Number of neighbours.

    Returns:
        Row indices and cosine similarities as of :func:`exact_knn_cpu`. The row itself fills the
        columns for which a row has too few candidates.
    """
    size = len(features)
    index = np.empty((size, count), np.int64)
    cosine = np.empty((size, count), np.float64)
    arrays = (numba_view(features), candidates, count, index, cosine)
    with ThreadPoolExecutor(thread_count()) as pool:
        map_ranges(pool, size, rank_listed, *arrays, parts=16 * thread_count())
    return index, cosine


def _round_rows(features: Float32Array, precision: torch.dtype) -> tuple[Tensor, float, float]:
    """Round features to low precision.

    Returns:
        Rounded features [N, D], largest norm of a row's rounding error, largest norm of a row.
    """
    rounded = _allocate_copy(features, precision)
    row_error = norm = 0.0
    for start in range(0, len(features), _CONVERT_ROWS):
        block = slice(start, start + _CONVERT_ROWS)
        rows = torch.from_numpy(np.array(features[block], dtype=np.float32))
        rounded[block] = rows.to(precision)
        row_error = max(row_error, float((rows - rounded[block].float()).norm(dim=1).max()))
        norm = max(norm, float(rows.norm(dim=1).max()))
    return rounded, row_error, norm


def _allocate_copy(features: Float32Array, precision: torch.dtype) -> Tensor:
    """Allocate an array of the features' shape: in memory, or memory-mapped if they are.

    Memory-mapped features may not fit in memory, and then neither does a copy. The file is already
    unlinked, so that the system removes it with the tensor.
    """
    if not isinstance(features, np.memmap):
        return torch.empty(features.shape, dtype=precision)
    with NamedTemporaryFile() as file:
        copy = torch.from_file(file.name, shared=True, size=features.size, dtype=precision)
    return copy.view(features.shape)


def _collect_candidates(
    rounded: Tensor,
    candidates: Candidates,
    count: int,
    margin: np.float32,
    pool: ThreadPoolExecutor,
) -> None:
    """Collect candidates from the upper triangle of all products, tile by tile."""
    size = len(rounded)
    buffer = torch.empty(ROWS * COLUMNS, dtype=rounded.dtype)
    is_bf16 = rounded.dtype == torch.bfloat16
    fields = (
        candidates.product, candidates.row, candidates.used, candidates.threshold,
        candidates.threshold_bits, candidates.threshold_bits if is_bf16 else candidates.threshold,
        candidates.overflowed,
    )  # fmt: skip
    for left in range(0, size, COLUMNS):
        right = min(size, left + COLUMNS)
        # The tiles on the diagonal come first: they raise the thresholds for all later tiles.
        for top in [*range(left, right, ROWS), *range(0, left, ROWS)]:
            bottom = min(right if top >= left else left, top + ROWS)
            tile = buffer[: (bottom - top) * (right - left)].view(bottom - top, right - left)
            torch.mm(rounded[top:bottom], rounded[left:right].T, out=tile)
            products = (tile.view(torch.int16) if is_bf16 else tile).numpy()
            if top >= left:
                map_ranges(
                    pool, len(products), init_thresholds, products, top, count, margin, fields
                )
            arguments = (products, top, left, count, margin, fields)
            map_ranges(pool, len(products), scan_rows, *arguments)
            if bottom <= left:
                map_ranges(pool, products.shape[1], scan_columns, *arguments)


def _rank_candidates(
    features: Float32Array,
    candidates: Candidates,
    count: int,
    margin: np.float32,
    pool: ThreadPoolExecutor,
) -> tuple[Int64Array, Float64Array]:
    """Rank the candidates in float64; images with too many ties are compared with all rows."""
    size = len(features)
    index = np.empty((size, count), np.int64)
    cosine = np.empty((size, count), np.float64)
    stored = numba_view(features)
    lists = (candidates.product, candidates.row, candidates.used)
    arrays = (stored, lists, count, margin, index, cosine)
    map_ranges(pool, size, rank_candidates, *arrays, parts=16 * thread_count())
    overflowed = np.flatnonzero(candidates.overflowed)
    map_ranges(pool, len(overflowed), rank_all, overflowed, stored, count, index, cosine)
    return index, cosine
