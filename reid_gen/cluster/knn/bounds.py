"""Upper bounds of the products of features, tile by tile, at the cost of one matrix product.

Source: own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from tempfile import NamedTemporaryFile
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid_gen.types import Float32Array

StoredBounds = NDArray[np.int16] | NDArray[np.int32]
"""Bits of bounds, in the order of the bounds if these are positive: of bfloat16 or float32."""
UNIT_ROUNDOFF = {torch.bfloat16: 2.0**-8, torch.float32: 2.0**-24}
"""Largest relative rounding error of a stored value."""
CONVERT_ROWS = 512
"""Rows that are converted at once, so that their copies stay in the cache."""


class ProductBounds(Protocol):
    """Upper bounds of the products of all pairs of rows."""

    @property
    def margin(self) -> float:
        """Largest amount by which a product may exceed its bound."""

    @property
    def buffer_type(self) -> torch.dtype:
        """Type of a tile of bounds: bfloat16, float32, or int32 for the bits of float32."""

    def fill(
        self, out: Tensor, top: int, left: int, smallest: bool, pool: ThreadPoolExecutor
    ) -> StoredBounds:
        """Bound the products of rows ``top`` to ``top + R`` with ``left`` to ``left + C``.

        Args:
            out: Where the bounds are written, [R, C] of ``buffer_type``.
            top: First row.
            left: Row of the first column.
            smallest: Whether negated products are bounded.
            pool: Threads.

        Returns:
            The bits of the bounds: of float32 as int32, of bfloat16 as int16.
        """


@dataclass(frozen=True)
class FactorBounds:
    """Bounds that are the products of two factors, one for the rows and one for the columns.

    Attributes:
        rows: Features in low precision, [N, D]; or their projections and the norms of what is
            outside of the subspace, [N, d + 1].
        margin: Largest amount by which a product may exceed its bound.
        norm_column: Whether the last column is a norm.
    """

    rows: Tensor
    margin: float
    norm_column: bool = False

    @property
    def buffer_type(self) -> torch.dtype:
        """As in :class:`ProductBounds`."""
        return self.rows.dtype

    def fill(
        self, out: Tensor, top: int, left: int, smallest: bool, pool: ThreadPoolExecutor
    ) -> StoredBounds:
        """As in :class:`ProductBounds`."""
        factor = self.rows[top : top + out.shape[0]]
        if smallest:
            factor = -factor
            if self.norm_column:
                factor[:, -1].neg_()
        torch.mm(factor, self.rows[left : left + out.shape[1]].T, out=out)
        bits = torch.int16 if out.dtype == torch.bfloat16 else torch.int32
        stored: StoredBounds = out.view(bits).numpy()
        return stored


def rounded_bounds(features: Float32Array, precision: torch.dtype) -> FactorBounds:
    """Bound products by those of the rounded features; the margin is that of rounding.

    Args:
        features: Features, [N, D] float32 or float16; may be memory-mapped.
        precision: Precision of the products, bfloat16 or float32.
    """
    size, width = features.shape
    rows = allocate_like(features, width, precision)
    norm = rounding = 0.0
    for start in range(0, size, CONVERT_ROWS):
        block = slice(start, start + CONVERT_ROWS)
        source = torch.from_numpy(np.array(features[block], np.float32))
        rows[block] = source
        rounding = max(rounding, float((source - rows[block].float()).norm(dim=1).max()))
        norm = max(norm, float(source.norm(dim=1).max()))
    return FactorBounds(rows, product_error(norm, rounding, norm + rounding, width, precision))


def product_error(
    norm: float, rounding: float, rounded_norm: float, terms: int, precision: torch.dtype
) -> float:
    """Bound by how much a computed product of rounded vectors is below the exact one.

    Args:
        norm: Largest norm of a vector.
        rounding: Largest norm of a vector's rounding error.
        rounded_norm: Largest norm of a rounded vector.
        terms: Number of products that are summed, in float32.
        precision: Precision in which vectors and products are stored.
    """
    summation = UNIT_ROUNDOFF[precision] + (terms + 8) * 2.0**-24
    # The last factor covers the rounding of the norms and of this expression.
    return (rounding * (2 * norm + rounding) + summation * rounded_norm**2) * (1 + 2.0**-8)


def allocate_like(features: Float32Array, width: int, dtype: torch.dtype) -> Tensor:
    """Allocate a row for each of the features: in memory, or memory-mapped if they are.

    Memory-mapped features may not fit in memory, and then neither does a copy. The file is already
    unlinked, so that the system removes it with the tensor.
    """
    size = len(features)
    if not isinstance(features, np.memmap):
        return torch.empty(size, width, dtype=dtype)
    with NamedTemporaryFile() as file:
        copy = torch.from_file(file.name, shared=True, size=size * width, dtype=dtype)
    return copy.view(size, width)
