"""Bounds from features in 8 bits, for processors that multiply these fastest. Source: own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid_gen.cluster.knn.bounds import allocate_like
from reid_gen.cluster.knn.exact_kernels import StoredBounds, float_to_bits
from reid_gen.cluster.parallel import map_ranges, numba_view, thread_count, to_float
from reid_gen.types import Float32Array

_LEVELS = 127
"""Largest integer; -128 is left out so that the range is symmetric."""


@dataclass(frozen=True)
class QuantisedBounds:
    """Bounds from rows x in 8 bits, ``x = scale q + e``.

    With n the largest norm of all rows, ``<x, y> <= scale_x scale_y <q_x, q_y> + n |e_x| + n |e_y|
    + |e_x| |e_y|`` (Cauchy and Schwarz), and the last three terms are ``w_x w_y - n^2`` with
    ``w = n + |e|``.

    Attributes:
        rows: The integers q in -127..127, [N, D] int8.
        scale: Scale of each row, [N].
        weight: w of each row, [N].
        norm: n.
    """

    rows: Tensor
    scale: Float32Array
    weight: Float32Array
    norm: float

    @property
    def margin(self) -> float:
        """As in :class:`ProductBounds`; products are exact, their scaling to float32 is not."""
        return float(2.0**-20 * self.weight.max() ** 2)

    @property
    def buffer_type(self) -> torch.dtype:
        """As in :class:`ProductBounds`."""
        return torch.int32

    def fill(
        self, out: Tensor, top: int, left: int, smallest: bool, pool: ThreadPoolExecutor
    ) -> StoredBounds:
        """As in :class:`ProductBounds`."""
        factor = self.rows[top : top + out.shape[0]]
        columns = slice(left, left + out.shape[1])
        torch._int_mm(-factor if smallest else factor, self.rows[columns].T, out=out)
        stored: NDArray[np.int32] = out.numpy()
        factors = (self.scale[top:], self.weight[top:], self.scale[columns], self.weight[columns])
        map_ranges(pool, len(stored), _scale, stored, factors, np.float32(self.norm**2))
        return stored


def quantised_bounds(features: Float32Array) -> QuantisedBounds:
    """Round features to 8 bits, each row in units of 1/127 of its largest magnitude.

    Args:
        features: Features, [N, D] float32 or float16; may be memory-mapped.
    """
    size, width = features.shape
    rows = allocate_like(features, width, torch.int8)
    scale = np.empty(size, np.float32)
    norms = np.empty((2, size))
    arrays = (numba_view(features), rows.numpy(), scale, norms)
    with ThreadPoolExecutor(thread_count()) as pool:
        map_ranges(pool, size, _quantise, *arrays, parts=16 * thread_count())
    error, largest = norms[0], float(norms[1].max())
    return QuantisedBounds(rows, scale, (largest + error).astype(np.float32), largest)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nnan", "nsz"})
def _quantise(a, b, features, rows, scale, norms):  # type: ignore[no-untyped-def]
    """Quantise rows a to b; write scales, and norms of what is rounded away and of the rows."""
    row = np.empty(features.shape[1], np.float32)
    for i in range(a, b):
        source, levels = features[i], rows[i]
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
            levels[d] = np.int8(level)
            value = np.float64(row[d])
            difference = value - np.float64(unit) * np.float64(level)
            squares += value * value
            rest += difference * difference
        scale[i], norms[0, i], norms[1, i] = unit, np.sqrt(rest), np.sqrt(squares)


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _scale(a, b, products, factors, square):  # type: ignore[no-untyped-def]
    """Turn int32 products of rows a to b of a tile into the bits of float32 bounds, in place."""
    row_scale, row_weight, column_scale, column_weight = factors
    for r in range(a, b):
        row, scale, weight = products[r], row_scale[r], row_weight[r]
        for c in range(len(row)):
            rest = weight * column_weight[c] - square
            row[c] = float_to_bits(np.float32(row[c]) * (scale * column_scale[c]) + rest)
