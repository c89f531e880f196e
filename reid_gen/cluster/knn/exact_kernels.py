"""Numba kernels of the exact CPU search: collect candidates from tiles, prune, rank in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from reid_gen.cluster.parallel import dot
from reid_gen.types import Float32Array

CAPACITY = 160
"""Length of an image's candidate list, if that is at least twice the number of neighbours."""
SIMD_WIDTH = 32
"""Products that are compared with a threshold at once, before any is examined alone."""


@dataclass(frozen=True)
class Candidates:
    """Candidate neighbours of each image, in lists of fixed capacity R.

    Attributes:
        product: Approximate products with the candidates, [N, R].
        row: Row indices of the candidates, [N, R].
        used: Number of candidates of each image, [N].
        threshold: Products below it cannot be among an image's nearest, [N].
        threshold_bits: Upper 16 bits of the threshold as float32, rounded down, [N] int16.
        overflowed: Whether an image has more near ties than fit in its list, [N].
    """

    product: Float32Array
    row: NDArray[np.int32]
    used: NDArray[np.int32]
    threshold: Float32Array
    threshold_bits: NDArray[np.int16]
    overflowed: NDArray[np.bool_]

    @classmethod
    def empty(cls, size: int, count: int) -> Candidates:
        """Create empty lists for ``size`` images that each look for ``count`` neighbours."""
        capacity = max(CAPACITY, 2 * count)
        return cls(
            np.empty((size, capacity), np.float32),
            np.zeros((size, capacity), np.int32),
            np.zeros(size, np.int32),
            np.full(size, -2, np.float32),
            np.full(size, np.iinfo(np.int16).min, np.int16),
            np.zeros(size, np.bool_),
        )


@intrinsic
def _bf16_bits_to_float(context, bits):  # type: ignore[no-untyped-def]
    """Convert the bits of a bfloat16, an int16, to float32."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        low = builder.zext(arguments[0], ir.IntType(32))
        return builder.bitcast(builder.shl(low, ir.Constant(ir.IntType(32), 16)), ir.FloatType())

    return types.float32(types.int16), generate


@intrinsic
def _float_to_bits(context, value):  # type: ignore[no-untyped-def]
    """Reinterpret a float32 as int32."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


def _to_float(stored: object) -> float:
    """Convert a stored product to a float; numba compiles the overload for its type."""
    raise NotImplementedError


@overload(_to_float)
def _to_float_overload(stored):  # type: ignore[no-untyped-def]
    if stored == types.int16:
        return lambda stored: _bf16_bits_to_float(stored)
    return lambda stored: stored


@numba.njit(cache=True, nogil=True)
def init_thresholds(a, b, tile, top, count, margin, fields):  # type: ignore[no-untyped-def]
    """Set first thresholds of the tile's rows a to b from a lower bound of the count-th product.

    The columns are split into groups; the ``count``-th largest of the groups' maxima is at most the
    ``count``-th largest product of the row.
    """
    product, _, _, threshold, threshold_bits, _, _ = fields
    groups = product.shape[1] // 2
    columns = tile.shape[1] // groups * groups
    largest = np.empty(groups, tile.dtype)
    scratch = np.empty(groups, np.float32)
    for r in range(a, b):
        row = tile[r]
        largest[:] = 0
        for start in range(0, columns, groups):
            part = row[start : start + groups]
            for g in range(len(part)):
                largest[g] = max(largest[g], part[g])
        for g in range(groups):
            scratch[g] = _to_float(largest[g])
        # Maxima start at 0, so a bound of 0 carries no information.
        bound = _kth_largest(scratch, groups, count)
        if bound > 0:
            _set_threshold(top + r, bound - margin, threshold, threshold_bits)


@numba.njit(cache=True, nogil=True)
def _set_threshold(image, value, threshold, threshold_bits):  # type: ignore[no-untyped-def]
    threshold[image] = value
    # Positive floats are ordered as their bits are; otherwise the smallest int16 lets all pass.
    bits = np.int16((_float_to_bits(value) >> 16) - 1) if value > 0 else np.int16(-32768)
    threshold_bits[image] = bits


@numba.njit(cache=True, nogil=True)
def scan_rows(a, b, tile, top, left, count, margin, fields):  # type: ignore[no-untyped-def]
    """Add candidates of the images in the tile's rows a to b, found among its columns.

    Args:
        a: First row.
        b: Row after the last.
        tile: Products [R, C] of images ``top`` to ``top + R`` with ``left`` to ``left + C``;
            float32, or the bits of bfloat16 as int16.
        top: Image of the first row.
        left: Image of the first column.
        count: Number of neighbours.
        margin: Products that differ by more than this are in their true order.
        fields: Fields of :class:`Candidates`, with the thresholds in the tile's type inserted
            before the last: ``threshold`` or ``threshold_bits``.
    """
    thresholds = fields[5]
    columns = tile.shape[1]
    scratch = np.empty(fields[0].shape[1], np.float32)
    for r in range(a, b):
        image, row = top + r, tile[r]
        for start in range(0, columns, SIMD_WIDTH):
            part = row[start : start + SIMD_WIDTH]
            if _maximum(part) > thresholds[image]:
                for c in range(len(part)):
                    if part[c] > thresholds[image]:
                        candidate, product = left + start + c, _to_float(part[c])
                        _push(image, candidate, product, count, margin, fields, scratch)


@numba.njit(cache=True, nogil=True)
def scan_columns(a, b, tile, top, left, count, margin, fields):  # type: ignore[no-untyped-def]
    """Add candidates of the images in the tile's columns a to b, found among its rows.

    The arguments are those of :func:`scan_rows`, with ``a`` and ``b`` as columns.
    """
    thresholds = fields[5]
    scratch = np.empty(fields[0].shape[1], np.float32)
    for r in range(tile.shape[0]):
        row = tile[r]
        for start in range(a, b, SIMD_WIDTH):
            stop = min(b, start + SIMD_WIDTH)
            part, part_thresholds = row[start:stop], thresholds[left + start : left + stop]
            if _any_above(part, part_thresholds):
                for c in range(len(part)):
                    if part[c] > part_thresholds[c]:
                        image, product = left + start + c, _to_float(part[c])
                        _push(image, top + r, product, count, margin, fields, scratch)


@numba.njit(cache=True, nogil=True)
def _maximum(values):  # type: ignore[no-untyped-def]
    largest = values[0]
    for c in range(1, len(values)):
        largest = max(largest, values[c])
    return largest


@numba.njit(cache=True, nogil=True)
def _any_above(values, thresholds):  # type: ignore[no-untyped-def]
    above = np.int16(0)
    for c in range(len(values)):
        above |= np.int16(values[c] > thresholds[c])
    return above != 0


@numba.njit(cache=True, nogil=True)
def _push(image, candidate, value, count, margin, fields, scratch):  # type: ignore[no-untyped-def]
    """Append a candidate to an image's list; a full list is pruned."""
    product, row, used, threshold, threshold_bits, _, overflowed = fields
    if overflowed[image]:
        return
    length = used[image]
    product[image, length] = value
    row[image, length] = candidate
    length += 1
    if length == product.shape[1]:
        length, low = _prune(product[image], row[image], length, count, margin, scratch)
        if length > product.shape[1] - 8:
            overflowed[image] = True
        _set_threshold(image, low, threshold, threshold_bits)
    used[image] = length


@numba.njit(cache=True, nogil=True)
def _prune(product, row, length, count, margin, scratch):  # type: ignore[no-untyped-def]
    """Drop candidates that cannot be among the best; return the new length and threshold."""
    scratch[:length] = product[:length]
    low = _kth_largest(scratch, length, count) - margin
    end = 0
    for p in range(length):
        if product[p] >= low:
            product[end] = product[p]
            row[end] = row[p]
            end += 1
    return end, low


@numba.njit(cache=True, nogil=True)
def _kth_largest(values, length, k):  # type: ignore[no-untyped-def]
    """Return the k-th largest of the first ``length`` values, which are reordered (quickselect)."""
    low, high, target = 0, length - 1, k - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if target <= j:
            high = j
        elif target >= i:
            low = i
        else:
            break
    return values[target]


@numba.njit(cache=True, nogil=True)
def rank_candidates(a, b, features, lists, count, margin, index, cosine):  # type: ignore[no-untyped-def]
    """Prune the candidate lists of images a to b and rank them by float64 products.

    ``lists`` are ``product``, ``row`` and ``used`` of :class:`Candidates`; the best ``count`` are
    written to ``index`` and ``cosine``, [N, count].
    """
    product, row, used = lists
    scratch = np.empty(product.shape[1], np.float32)
    for image in range(a, b):
        length = _prune(product[image], row[image], used[image], count, margin, scratch)[0]
        _rank(image, np.sort(row[image, :length]), features, count, index, cosine)


@numba.njit(cache=True, nogil=True)
def rank_listed(a, b, features, candidates, count, index, cosine):  # type: ignore[no-untyped-def]
    """Write the best ``count`` of given candidates [N, R]; duplicates count once.

    The image itself fills the columns for which it has too few candidates.
    """
    for image in range(a, b):
        index[image] = image
        cosine[image] = dot(features[image], features[image])
        _rank(image, np.unique(candidates[image]), features, count, index, cosine)


@numba.njit(cache=True, nogil=True)
def _rank(image, candidates, features, count, index, cosine):  # type: ignore[no-untyped-def]
    """Sort candidates, given by increasing row, by float64 product; ties go to the lower row."""
    negated = np.empty(len(candidates), np.float64)
    for p in range(len(candidates)):
        negated[p] = -dot(features[image], features[candidates[p]])
    order = np.argsort(negated, kind="mergesort")
    for p in range(min(count, len(candidates))):
        index[image, p] = candidates[order[p]]
        cosine[image, p] = -negated[order[p]]


@numba.njit(cache=True, nogil=True)
def rank_all(a, b, images, features, count, index, cosine):  # type: ignore[no-untyped-def]
    """Compare ``images[a:b]``, which have too many near ties for a list, with all rows."""
    negated = np.empty(len(features), np.float64)
    for image in images[a:b]:
        for j in range(len(features)):
            negated[j] = -dot(features[image], features[j])
        order = np.argsort(negated, kind="mergesort")
        for p in range(count):
            index[image, p] = order[p]
            cosine[image, p] = -negated[order[p]]
