"""Exact k-nearest-neighbour search on the CPU, at the speed of short or low-precision products.

Products of all pairs are bounded from above, tile by tile, by one matrix product (``bounds``): of
the features in bfloat16, float32 or 8 bits, or of their projections on a subspace, whichever is
fastest. Pairs whose bound reaches the k-th largest product of an image so far are compared in
float64. The result is that of float64 on every machine, ties going to the lower row index. Source:
own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from reid_gen.cluster.knn.bounds import ProductBounds, rounded_bounds
from reid_gen.cluster.knn.exact_kernels import (
    CAPACITY,
    SearchState,
    compare_candidates,
    rank_listed,
    scan_columns,
    scan_first,
    scan_rows,
)
from reid_gen.cluster.knn.quantised import QuantisedBounds, QuantisedRows, quantise
from reid_gen.cluster.knn.subspace import choose_subspace, subspace_bounds
from reid_gen.cluster.parallel import map_ranges, numba_view, thread_count
from reid_gen.runtime.precision import full_float32, has_native_int8, resolve_dtype
from reid_gen.types import Float32Array, Float64Array, Int64Array

ROWS, COLUMNS = 512, 4096
"""Size of a tile of products; it fits in the CPU's cache."""
_INT8_SPEED = 2.0
"""How many times as fast as bfloat16 products a processor with 8-bit instructions computes them."""


@dataclass(frozen=True)
class SearchPlan:
    """How candidates are found; it does not change the result.

    Attributes:
        bounds: Bounds of the products of all pairs.
        sieve: Features in 8 bits, by which candidates are sifted before they are compared in
            float64; None if bounds leave too few for that.
    """

    bounds: ProductBounds
    sieve: QuantisedRows | None = None


def fastest_plan(features: Float32Array, count: int) -> SearchPlan:
    """Plan a search in the way that is estimated to be fastest on this CPU.

    Args:
        features: L2-normalised features, [N, D] float32 or float16; may be memory-mapped.
        count: Number of neighbours that are searched.
    """
    precision = resolve_dtype("bf16", torch.device("cpu"))
    int8 = has_native_int8()
    subspace = choose_subspace(features, count, precision, _INT8_SPEED if int8 else 1.0)
    if subspace is not None:
        bounds = subspace_bounds(features, subspace.basis, precision)
        return SearchPlan(bounds, quantise(features) if subspace.sieve else None)
    if int8:
        return SearchPlan(QuantisedBounds(quantise(features)))
    return SearchPlan(rounded_bounds(features, precision))


@full_float32()
def exact_knn_cpu(
    features: Float32Array,
    count: int,
    plan: SearchPlan | None = None,
    *,
    smallest: bool = False,
) -> tuple[Int64Array, Float64Array]:
    """Find the ``count`` most similar rows of every row, the row itself among them.

    Args:
        features: L2-normalised features, [N, D] float32 or float16; may be memory-mapped.
        count: Number of neighbours, at most N.
        plan: How to search; None for the :func:`fastest_plan`.
        smallest: Whether to find the least similar rows instead.

    Returns:
        Row indices [N, count] int64 by decreasing cosine similarity (increasing, if ``smallest``),
        ties by increasing index, and cosine similarities [N, count] float64.

    Raises:
        ValueError: If the count is out of range.
    """
    size = len(features)
    if not 1 <= count <= size:
        raise ValueError(f"count must be in 1..{size}, got {count}")
    if plan is None:
        plan = fastest_plan(features, count)
    state = _start(features, count, plan, -1 if smallest else 1)
    with ThreadPoolExecutor(thread_count()) as pool:
        _collect_candidates(plan.bounds, state, pool)
        map_ranges(pool, size, compare_candidates, state, parts=16 * thread_count())
    return state.nearest, state.sign * state.product


def _start(features: Float32Array, count: int, plan: SearchPlan, sign: int) -> SearchState:
    """Start a search in which nothing is found yet."""
    size = len(features)
    is_bf16 = plan.bounds.buffer_type == torch.bfloat16
    threshold = np.full(size, -(2**15), np.int16) if is_bf16 else np.full(size, -(2**31), np.int32)
    sieve = quantise(features[:0]) if plan.sieve is None else plan.sieve
    return SearchState(
        nearest=np.full((size, count), size, np.int64),
        product=np.full((size, count), -np.inf),
        bound=np.empty((size, CAPACITY), np.float32),
        row=np.empty((size, CAPACITY), np.int32),
        used=np.zeros(size, np.int32),
        threshold=threshold,
        features=numba_view(features),
        sieve=sieve,
        margin=max(plan.bounds.margin, sieve.margin),
        sign=sign,
    )


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
    index = np.full((size, count), size, np.int64)
    cosine = np.full((size, count), -np.inf, np.float64)
    arrays = (numba_view(features), candidates, index, cosine)
    with ThreadPoolExecutor(thread_count()) as pool:
        map_ranges(pool, size, rank_listed, *arrays, parts=16 * thread_count())
    return index, cosine


def _collect_candidates(
    bounds: ProductBounds, state: SearchState, pool: ThreadPoolExecutor
) -> None:
    """Collect candidates from the upper triangle of all products, tile by tile."""
    size = len(state.used)
    buffer = torch.empty(ROWS * COLUMNS, dtype=bounds.buffer_type)
    for left in range(0, size, COLUMNS):
        right = min(size, left + COLUMNS)
        # The tiles on the diagonal come first: they raise the thresholds for all later tiles.
        for top in [*range(left, right, ROWS), *range(0, left, ROWS)]:
            bottom = min(right if top >= left else left, top + ROWS)
            shape = (bottom - top, right - left)
            out = buffer[: shape[0] * shape[1]].view(shape)
            tile = bounds.fill(out, top, left, state.sign < 0, pool)
            scan = scan_first if top >= left else scan_rows
            map_ranges(pool, shape[0], scan, tile, top, left, state)
            if bottom <= left:
                map_ranges(pool, shape[1], scan_columns, tile, top, left, state)
