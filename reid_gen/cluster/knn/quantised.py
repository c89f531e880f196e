"""Features in 8 bits and bounds from them. Source: own.

Their products bound all pairs where a processor multiplies 8-bit integers fastest, and on any
processor the candidates that bounds from a subspace leave over: rows of a quarter of the bytes are
read sooner than those that float64 products need.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid_gen.cluster.knn.bounds import StoredBounds, allocate_like
from reid_gen.cluster.parallel import float_to_bits, map_ranges, numba_view, thread_count, to_float
from reid_gen.types import Float32Array

_LEVELS = 127
"""Largest integer; -128 is left out so that the range is symmetric."""


class QuantisedRows(NamedTuple):
    """Rows x in 8 bits: ``x = scale q + e``.

    With n the largest norm of all rows, ``<x, y> <= scale_x scale_y <q_x, q_y> + n |e_x| + n |e_y|
    + |e_x| |e_y|`` (Cauchy and Schwarz), and the last three terms are ``w_x w_y - n^2`` with
    ``w = n + |e|``.

    Attributes:
        levels: The integers q in -127..127, [N, D].
        scale: Scale of each row, [N].
        weight: w of each row, [N].
        square: n^2.
    """

    levels: NDArray[np.int8]
    scale: Float32Array
    weight: Float32Array
    square: np.float32

    @property
    def margin(self) -> float:
        """Bound by how much rounding to float32 lowers a bound."""
        return float(2.0**-20 * self.weight.max(initial=0) ** 2)


def quantise(features: Float32Array) -> QuantisedRows:
    """Round features to 8 bits, each row in units of 1/127 of its largest magnitude.

    Args:
        features: Features, [N, D] float32 or float16; may be memory-mapped.
    """
    size, width = features.shape
    levels: NDArray[np.int8] = allocate_like(features, width, torch.int8).numpy()
    scale = np.empty(size, np.float32)
    norms = np.empty((2, size))
    arrays = (numba_view(features), levels, scale, norms)
    with ThreadPoolExecutor(thread_count()) as pool:
        map_ranges(pool, size, _quantise, *arrays, parts=16 * thread_count())
    error, largest = norms[0], float(norms[1].max(initial=0))
    weight = (largest + error).astype(np.float32)
    return QuantisedRows(levels, scale, weight, np.float32(largest**2))


class QuantisedBounds:
    """Bounds of all products from products of 8-bit integers.

    Args:
        rows: The features in 8 bits.
    """

    buffer_type = torch.int32

    def __init__(self, rows: QuantisedRows) -> None:
        self.rows = rows
        self.margin = rows.margin  # integer products are exact

    def fill(
        self, out: Tensor, top: int, left: int, smallest: bool, pool: ThreadPoolExecutor
    ) -> StoredBounds:
        """As in :class:`~reid_gen.cluster.knn.bounds.ProductBounds`."""
        levels, scale, weight, square = self.rows
        rows, columns = slice(top, top + out.shape[0]), slice(left, left + out.shape[1])
        factor = torch.from_numpy(levels[rows])
        if smallest:
            factor = -factor
        torch._int_mm(factor, torch.from_numpy(levels[columns]).T, out=out)
        products: NDArray[np.int32] = out.numpy()
        factors = (scale[rows], weight[rows], scale[columns], weight[columns])
        map_ranges(pool, len(products), _scale_products, products, factors, square)
        return products


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nnan", "nsz"})
def _quantise(a, b, features, levels, scale, norms):  # type: ignore[no-untyped-def]
    """Quantise rows a to b; write scales, and norms of what is rounded away and of the rows."""
    row = np.empty(features.shape[1], np.float32)
    for i in range(a, b):
        source, target = features[i], levels[i]
        largest = np.float32(0)
        for d in range(len(row)):
            row[d] = to_float(source[d])
            largest = max(largest, abs(row[d]))
        unit = np.float32(largest / np.float32(_LEVELS))
        # The smallest numbers have no reciprocal: such a row counts as rounded to 0.
        unit = unit if unit > np.float32(2.0**-120) else np.float32(0)
        inverse = np.float32(1) / unit if unit > 0 else np.float32(0)
        squares = rest = 0.0
        for d in range(len(row)):
            level = np.rint(row[d] * inverse)
            level = min(max(level, np.float32(-_LEVELS)), np.float32(_LEVELS))
            target[d] = np.int8(level)
            value = np.float64(row[d])
            difference = value - np.float64(unit) * np.float64(level)
            squares += value * value
            rest += difference * difference
        scale[i], norms[0, i], norms[1, i] = unit, np.sqrt(rest), np.sqrt(squares)


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _scale_products(a, b, products, factors, square):  # type: ignore[no-untyped-def]
    """Turn int32 products of rows a to b of a tile into the bits of float32 bounds, in place."""
    row_scale, row_weight, column_scale, column_weight = factors
    for r in range(a, b):
        row, scale, weight = products[r], row_scale[r], row_weight[r]
        for c in range(len(row)):
            rest = weight * column_weight[c] - square
            row[c] = float_to_bits(np.float32(row[c]) * (scale * column_scale[c]) + rest)


@numba.njit(cache=True, nogil=True)
def product_bound(i, j, sign, rows):  # type: ignore[no-untyped-def]
    """Bound ``sign`` times the product of rows i and j from above."""
    x, y = rows.levels[i], rows.levels[j]
    total = np.int32(0)
    for d in range(len(x)):  # in int32 throughout, where numba would take 64 bits
        total = np.int32(total + np.int16(x[d]) * np.int16(y[d]))
    product = np.float64(rows.scale[i]) * np.float64(rows.scale[j]) * total
    rest = np.float64(rows.weight[i]) * np.float64(rows.weight[j]) - np.float64(rows.square)
    return sign * product + rest
