"""Bounds from projections on a subspace, for features that vary little outside of it.

The part of a product outside is at most the product of the norms there (Cauchy and Schwarz), so
that one more coordinate, the norm, turns the product of two projections into an upper bound.
Source: own; the basis is that of a randomised principal component analysis (Halko, Martinsson and
Tropp, SIAM Review 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reid_gen.cluster.knn.bounds import (
    CONVERT_ROWS,
    UNIT_ROUNDOFF,
    FactorBounds,
    allocate_like,
    product_error,
)
from reid_gen.runtime.precision import full_float32
from reid_gen.types import Float32Array

_CHUNK = 128
"""Coordinates that are summed at once: the error of a sum grows with the number of its terms."""
_SAMPLE, _QUERIES = 2048, 64
"""Rows that a subspace is computed from and tried on, and those of them that are queries."""
_SHARES = (16, 8, 4)
"""Tried sizes of the subspace, as divisors of the features' size D."""
_COMPARISON = {torch.float32: 24, torch.bfloat16: 48}
"""Duration of a float64 product of a candidate, in those of D multiply-adds of a matrix product.

A third of it is for candidates that are met before the nearest are known.
"""
_SIEVING = 0.25
"""Duration of an 8-bit product of a candidate, as a share of that of a float64 product."""


@dataclass(frozen=True)
class Subspace:
    """A subspace that bounds products well.

    Attributes:
        basis: Orthonormal basis, [D, d] float32.
        sieve: Whether it is faster to sift its candidates by 8-bit products before float64 ones.
    """

    basis: Tensor
    sieve: bool


def choose_subspace(
    features: Float32Array, count: int, precision: torch.dtype, speed: float
) -> Subspace | None:
    """Choose the subspace in which a search for ``count`` neighbours is estimated to be fastest.

    The estimate counts the pairs of a sample that the bounds do not rule out. It decides about time
    alone: the neighbours are the same in any subspace.

    Args:
        features: Features, [N, D].
        count: Number of neighbours.
        precision: Precision of products in a subspace, bfloat16 or float32.
        speed: How many times as fast products of the features themselves are.

    Returns:
        The subspace, or None if products of the features are faster.
    """
    size, width = features.shape
    picked = np.linspace(0, size - 1, min(size, _SAMPLE)).astype(np.int64)
    sample = torch.from_numpy(np.asarray(features[picked], np.float32))
    fitted, tried = sample[::2], sample[1::2]
    step = max(1, len(tried) // _QUERIES)
    # The row itself, and its share of the neighbours.
    rank = min(len(tried), 1 + max(1, round(count * len(tried) / size)))
    least = (tried[::step] @ tried.T).topk(rank, dim=1).values[:, -1:]
    comparison = _COMPARISON[precision] * width
    # Multiply-adds per image.
    best, chosen = size / 2 * width / speed + count * comparison, None
    for d in (width // share - 1 for share in _SHARES):
        cost = d * (width + size / 2 + (4 * len(fitted) + 8 * d) * width / size)
        if d < 1 or cost + count * comparison >= best:
            continue
        basis = _principal_basis(fitted, d)
        inside = tried @ basis
        outside = (tried.square().sum(1) - inside.square().sum(1)).clamp(min=0).sqrt()
        bound = inside[::step] @ inside.T + outside[::step, None] * outside
        candidates = max(count, float((bound >= least).float().mean()) * size)
        sifted = 2 * count + _SIEVING * candidates
        cost += min(candidates, sifted) * comparison
        if cost < best:
            best, chosen = cost, Subspace(basis, sieve=sifted < candidates)
    return chosen


def _principal_basis(sample: Tensor, d: int) -> Tensor:
    """Compute an orthonormal basis [D, d] of approximately the first d principal axes."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(d, len(sample), generator=generator) @ sample
    basis = torch.linalg.qr(start.T).Q
    return torch.linalg.qr(sample.T @ (sample @ basis)).Q


@full_float32()
def subspace_bounds(features: Float32Array, basis: Tensor, precision: torch.dtype) -> FactorBounds:
    """Bound products by those of projections, ``<x, y> <= <z_x, z_y> + r_x r_y + margin``.

    With ``x = Q z + w``, any z and basis Q: ``|w|^2 = |x|^2 - |z|^2 + 2 <h, z> + <z, E z>`` and
    ``Q^T w = -h - E z``, where ``h = z - Q^T x`` is the rounding error of the projection and
    ``E = Q^T Q - I`` that of the basis. r bounds ``|w|``, and the margin the products of w with
    ``Q z``, and what rounding and E change in ``<Q z_x, Q z_y>``.

    Args:
        features: Features, [N, D] float32 or float16; may be memory-mapped.
        basis: Basis Q [D, d], orthonormal except for rounding.
        precision: Precision of the products, bfloat16 or float32.
    """
    size, width = features.shape
    d = basis.shape[1]
    exact_basis = basis.double()
    skew = float((exact_basis.T @ exact_basis - torch.eye(d, dtype=torch.float64)).norm())
    # |h| / |x|: d sums over chunks and a sum of these, each of vectors that are as long as a column
    # of Q.
    terms = _CHUNK + -(-width // _CHUNK) + 4
    error = d**0.5 * terms * 2.0**-24 * float(exact_basis.norm(dim=0).max())
    rows = allocate_like(features, d + 1, precision)
    norms = torch.empty(size, 4, dtype=torch.float64)
    inflation = 1 + 4 * UNIT_ROUNDOFF[precision]
    for start in range(0, size, CONVERT_ROWS):
        block = slice(start, min(size, start + CONVERT_ROWS))
        source = torch.from_numpy(np.array(features[block], np.float32))
        z = _project(source, basis)
        norm = torch.linalg.vector_norm(source, dim=1, dtype=torch.float64)
        inside = torch.linalg.vector_norm(z, dim=1, dtype=torch.float64)
        outside = (norm**2 - inside**2).clamp(min=0) + inside * (2 * error * norm + skew * inside)
        stored = rows[block]
        stored[:, :d] = z
        stored[:, d] = outside.sqrt() * inflation
        rounded = stored.float()
        rounding = (rounded[:, :d] - z).norm(dim=1)
        norms[block] = torch.stack([norm, inside, rounding, rounded.norm(dim=1)], dim=1)
    norm, inside, rounding, rounded_norm = norms.amax(dim=0).tolist()
    crossing = 2 * inside * (error * norm + skew * inside)
    margin = skew * inside**2 + crossing
    margin += product_error(inside, rounding, rounded_norm, d + 1, precision)
    return FactorBounds(rows, margin, norm_column=True)


def _project(source: Tensor, basis: Tensor) -> Tensor:
    """Project rows [b, D] on a basis, summing chunk by chunk; returns [b, d]."""
    z = torch.zeros(len(source), basis.shape[1])
    partial = torch.empty_like(z)
    for first in range(0, source.shape[1], _CHUNK):
        chunk = slice(first, first + _CHUNK)
        z += torch.mm(source[:, chunk], basis[chunk], out=partial)
    return z
