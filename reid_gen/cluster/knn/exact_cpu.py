"""Exact nearest neighbours at the speed of low-precision matrix products.

Products in bfloat16 (or float32, where the processor has no instructions for it) are wrong by no
more than a margin that follows from the rounding of the rows. Every pair that comes within the
margin of an image's k-th best so far is kept, and the few that are left are computed again in
float64: the result is that of float64, ties going to the lower number, on every machine.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from tempfile import NamedTemporaryFile

import numpy as np
import torch
from torch import Tensor

from reid_gen.cluster.knn.exact_kernels import (
    Candidates,
    order_candidates,
    order_everything,
    order_listed,
    scan_columns,
    scan_rows,
    start_rows,
)
from reid_gen.cluster.parallel import readable, spread, threads
from reid_gen.runtime.precision import resolve_dtype
from reid_gen.types import Float32Array, Float64Array, Int64Array

ROWS, COLUMNS = 1024, 4096
"""Of a tile of products, small enough for the processor's cache."""
_ROUNDING = {torch.bfloat16: 2.0**-9, torch.float32: 2.0**-24}
"""Relative error of a stored value."""
_CONVERTED = 512
"""Rows whose copies stay in the cache."""


def nearest_certified(
    features: Float32Array, count: int, precision: torch.dtype | None = None
) -> tuple[Int64Array, Float64Array]:
    """The ``count`` most similar rows of every row, itself among them.

    Args:
        features: Unit rows, [N, D] float32 or float16; may be memory-mapped.
        count: At most N.
        precision: Of the products, bfloat16 or float32; None takes what the processor is fast in.
            The result is the same.

    Returns:
        Numbers [N, count] int64 by falling cosine, equal ones by rising number, and cosines
        [N, count] float64.

    Raises:
        ValueError: If the count is out of range.
    """
    size, width = features.shape
    if not 1 <= count <= size:
        raise ValueError(f"count must be in 1..{size}, got {count}")
    if precision is None:
        precision = resolve_dtype("bf16", torch.device("cpu"))
    low, error, length = _rounded(features, precision)
    of_sums = (_ROUNDING[precision] + width * 2.0**-24) * length**2
    product_error = 2 * length * error + error**2 + of_sums
    margin = np.float32(2 * product_error)
    found = Candidates.of(size, count)
    with ThreadPoolExecutor(threads()) as pool:
        _collect(low, found, count, margin, pool)
        del low
        return _recheck(features, found, count, margin, pool)


def nearest_among(
    features: Float32Array, candidates: Int64Array, count: int
) -> tuple[Int64Array, Float64Array]:
    """The ``count`` most similar of every row's candidates, by float64 as well.

    Args:
        features: Unit rows, [N, D] float32 or float16; may be memory-mapped.
        candidates: Numbers of rows, [N, R]; some may be named twice.
        count: Of neighbours.

    Returns:
        As :func:`nearest_certified`; a row itself stands in where it has too few candidates.
    """
    size = len(features)
    index = np.empty((size, count), np.int64)
    cosine = np.empty((size, count), np.float64)
    wanted = (readable(features), candidates, count, index, cosine)
    with ThreadPoolExecutor(threads()) as pool:
        spread(pool, size, order_listed, *wanted, parts=16 * threads())
    return index, cosine


def _rounded(features: Float32Array, precision: torch.dtype) -> tuple[Tensor, float, float]:
    """Rows in low precision, length of the largest rounding error of a row, and of a row."""
    low = _room(features, precision)
    error = length = 0.0
    for start in range(0, len(features), _CONVERTED):
        part = slice(start, start + _CONVERTED)
        rows = torch.from_numpy(np.array(features[part], dtype=np.float32))
        low[part] = rows.to(precision)
        error = max(error, float((rows - low[part].float()).norm(dim=1).max()))
        length = max(length, float(rows.norm(dim=1).max()))
    return low, error, length


def _room(features: Float32Array, precision: torch.dtype) -> Tensor:
    """For a copy: in memory, or in a file if the features are in one, as they may not fit either.

    The file has no name any more, and goes with the copy.
    """
    if not isinstance(features, np.memmap):
        return torch.empty(features.shape, dtype=precision)
    with NamedTemporaryFile() as file:
        room = torch.from_file(file.name, shared=True, size=features.size, dtype=precision)
    return room.view(features.shape)


def _collect(
    low: Tensor, found: Candidates, count: int, margin: np.float32, pool: ThreadPoolExecutor
) -> None:
    """Fill the candidates from tiles of the upper triangle of all products."""
    size = len(low)
    room = torch.empty(ROWS * COLUMNS, dtype=low.dtype)
    limits = found.bits if low.dtype == torch.bfloat16 else found.least
    fields = (
        found.value, found.other, found.count, found.least, found.bits, limits, found.overflown,
    )  # fmt: skip
    for left in range(0, size, COLUMNS):
        right = min(size, left + COLUMNS)
        # The square on the diagonal first: it makes thresholds high for all that follows.
        for top in [*range(left, right, ROWS), *range(0, left, ROWS)]:
            bottom = min(right if top >= left else left, top + ROWS)
            tile = room[: (bottom - top) * (right - left)].view(bottom - top, right - left)
            torch.mm(low[top:bottom], low[left:right].T, out=tile)
            values = (tile.view(torch.int16) if limits is found.bits else tile).numpy()
            if top >= left:
                spread(pool, len(values), start_rows, values, top, count, margin, fields)
            across = (values, top, left, count, margin, fields)
            spread(pool, len(values), scan_rows, *across)
            if bottom <= left:
                spread(pool, values.shape[1], scan_columns, *across)


def _recheck(
    features: Float32Array,
    found: Candidates,
    count: int,
    margin: np.float32,
    pool: ThreadPoolExecutor,
) -> tuple[Int64Array, Float64Array]:
    size = len(features)
    index = np.empty((size, count), np.int64)
    cosine = np.empty((size, count), np.float64)
    stored = readable(features)
    wanted = (stored, (found.value, found.other, found.count), count, margin, index, cosine)
    spread(pool, size, order_candidates, *wanted, parts=16 * threads())
    tied = np.flatnonzero(found.overflown)
    spread(pool, len(tied), order_everything, tied, stored, count, index, cosine)
    return index, cosine
