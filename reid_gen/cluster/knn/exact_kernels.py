"""Pairs that may be among the nearest: found in tiles of products, sifted, computed again."""

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

ROOM = 160
"""Candidates that an image may have before they are sifted, if that is twice what is wanted."""
WIDE = 32
"""Values of a tile that are compared at once before any is looked at."""


@dataclass(frozen=True)
class Candidates:
    """What each image may still have among its k nearest.

    Attributes:
        value: Products, [N, R].
        other: Of which images, [N, R].
        count: How many, [N].
        least: Products that are lower are out, [N].
        bits: The same as the upper half of a float, a little lower, [N] int16.
        overflown: Images with more near ties than there is room for, [N].
    """

    value: Float32Array
    other: NDArray[np.int32]
    count: NDArray[np.int32]
    least: Float32Array
    bits: NDArray[np.int16]
    overflown: NDArray[np.bool_]

    @classmethod
    def of(cls, size: int, count: int) -> Candidates:
        """None yet, for so many images of which each looks for ``count`` neighbours."""
        room = max(ROOM, 2 * count)
        return cls(
            np.empty((size, room), np.float32),
            np.zeros((size, room), np.int32),
            np.zeros(size, np.int32),
            np.full(size, -2, np.float32),
            np.full(size, np.iinfo(np.int16).min, np.int16),
            np.zeros(size, np.bool_),
        )


@intrinsic
def _as_float(context, bits):  # type: ignore[no-untyped-def]
    """The float32 whose upper half is an int16."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        wide = builder.zext(arguments[0], ir.IntType(32))
        return builder.bitcast(builder.shl(wide, ir.Constant(ir.IntType(32), 16)), ir.FloatType())

    return types.float32(types.int16), generate


@intrinsic
def _as_bits(context, value):  # type: ignore[no-untyped-def]
    """The bits of a float32."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


def _product(stored: object) -> float:
    """A value of a tile as a number; numba takes one of the two below."""
    raise NotImplementedError


@overload(_product)
def _product_of(stored):  # type: ignore[no-untyped-def]
    if stored == types.int16:
        return lambda stored: _as_float(stored)
    return lambda stored: stored


@numba.njit(cache=True, nogil=True)
def start_rows(a, b, tile, top, count, margin, fields):  # type: ignore[no-untyped-def]
    """First thresholds of images: the ``count``-th of the largest values of as many groups."""
    value, _, _, least, bits, _, _ = fields
    groups = value.shape[1] // 2
    whole = tile.shape[1] // groups * groups
    largest = np.empty(groups, tile.dtype)
    spare = np.empty(groups, np.float32)
    for r in range(a, b):
        row = tile[r]
        largest[:] = 0
        for start in range(0, whole, groups):
            part = row[start : start + groups]
            for g in range(len(part)):
                largest[g] = max(largest[g], part[g])
        for g in range(groups):
            spare[g] = _product(largest[g])
        # Groups start at 0, so that 0 says nothing.
        best = _largest(spare, groups, count)
        if best > 0:
            _set_least(top + r, best - margin, least, bits)


@numba.njit(cache=True, nogil=True)
def _set_least(image, low, least, bits):  # type: ignore[no-untyped-def]
    least[image] = low
    # Products at or below 0 have bits in another order: only above it can they be compared.
    bits[image] = np.int16((_as_bits(low) >> 16) - 1) if low > 0 else np.int16(-32768)


@numba.njit(cache=True, nogil=True)
def scan_rows(a, b, tile, top, left, count, margin, fields):  # type: ignore[no-untyped-def]
    """Candidates of the tile's rows a to b among its columns.

    Args:
        a: First row.
        b: Row after the last.
        tile: Products [R, C] of images ``top`` to ``top + R`` with ``left`` to ``left + C``;
            float32, or the bits of bfloat16 as int16.
        top: Image of the first row.
        left: Image of the first column.
        count: Neighbours that are wanted.
        margin: Two products that are farther apart are in their true order.
        fields: Those of :class:`Candidates`, and before the last the thresholds in the form of the
            tile's values: either ``least`` or ``bits``.
    """
    limits = fields[5]
    columns = tile.shape[1]
    spare = np.empty(fields[0].shape[1], np.float32)
    for r in range(a, b):
        image, row = top + r, tile[r]
        for start in range(0, columns, WIDE):
            part = row[start : start + WIDE]
            if _largest_of(part) > limits[image]:
                for c in range(len(part)):
                    if part[c] > limits[image]:
                        mate, product = left + start + c, _product(part[c])
                        _push(image, mate, product, count, margin, fields, spare)


@numba.njit(cache=True, nogil=True)
def scan_columns(a, b, tile, top, left, count, margin, fields):  # type: ignore[no-untyped-def]
    """Candidates of the tile's columns a to b among its rows; as :func:`scan_rows`."""
    limits = fields[5]
    spare = np.empty(fields[0].shape[1], np.float32)
    for r in range(tile.shape[0]):
        row = tile[r]
        for start in range(a, b, WIDE):
            stop = min(b, start + WIDE)
            part, own = row[start:stop], limits[left + start : left + stop]
            if _any_above(part, own):
                for c in range(len(part)):
                    if part[c] > own[c]:
                        image, product = left + start + c, _product(part[c])
                        _push(image, top + r, product, count, margin, fields, spare)


@numba.njit(cache=True, nogil=True)
def _largest_of(part):  # type: ignore[no-untyped-def]
    largest = part[0]
    for c in range(1, len(part)):
        largest = max(largest, part[c])
    return largest


@numba.njit(cache=True, nogil=True)
def _any_above(part, limits):  # type: ignore[no-untyped-def]
    above = np.int16(0)
    for c in range(len(part)):
        above |= np.int16(part[c] > limits[c])
    return above != 0


@numba.njit(cache=True, nogil=True)
def _push(image, mate, product, count, margin, fields, spare):  # type: ignore[no-untyped-def]
    """Note a candidate; a full list is sifted."""
    value, other, counts, least, bits, _, overflown = fields
    if overflown[image]:
        return
    used = counts[image]
    value[image, used] = product
    other[image, used] = mate
    used += 1
    if used == value.shape[1]:
        used, low = _sift(value[image], other[image], used, count, margin, spare)
        if used > value.shape[1] - 8:
            overflown[image] = True
        _set_least(image, low, least, bits)
    counts[image] = used


@numba.njit(cache=True, nogil=True)
def _sift(value, other, used, count, margin, spare):  # type: ignore[no-untyped-def]
    """Keep what can still be among the best; how many that are, and the threshold."""
    spare[:used] = value[:used]
    low = _largest(spare, used, count) - margin
    kept = 0
    for p in range(used):
        if value[p] >= low:
            value[kept] = value[p]
            other[kept] = other[p]
            kept += 1
    return kept, low


@numba.njit(cache=True, nogil=True)
def _largest(values, used, count):  # type: ignore[no-untyped-def]
    """The ``count``-th largest of the first ``used`` values, which it reorders (quickselect)."""
    low, high, wanted = 0, used - 1, count - 1
    while low < high:
        middle = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] > middle:
                i += 1
            while values[j] < middle:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    return values[wanted]


@numba.njit(cache=True, nogil=True)
def order_candidates(a, b, features, found, count, margin, index, cosine):  # type: ignore[no-untyped-def]
    """Exact products of candidates that are left after a last sifting, and the best of them."""
    value, other, counts = found
    spare = np.empty(value.shape[1], np.float32)
    for image in range(a, b):
        used = _sift(value[image], other[image], counts[image], count, margin, spare)[0]
        _order(image, np.sort(other[image, :used]), features, count, index, cosine)


@numba.njit(cache=True, nogil=True)
def order_listed(a, b, features, candidates, count, index, cosine):  # type: ignore[no-untyped-def]
    """The same of candidates that are listed, [N, R], repeated ones once.

    The image itself stands in where they are too few.
    """
    for image in range(a, b):
        index[image] = image
        cosine[image] = dot(features[image], features[image])
        _order(image, np.unique(candidates[image]), features, count, index, cosine)


@numba.njit(cache=True, nogil=True)
def _order(image, mates, features, count, index, cosine):  # type: ignore[no-untyped-def]
    exact = np.empty(len(mates), np.float64)
    for p in range(len(mates)):
        exact[p] = -dot(features[image], features[mates[p]])
    order = np.argsort(exact, kind="mergesort")
    for p in range(min(count, len(mates))):
        index[image, p] = mates[order[p]]
        cosine[image, p] = -exact[order[p]]


@numba.njit(cache=True, nogil=True)
def order_everything(a, b, rows, features, count, index, cosine):  # type: ignore[no-untyped-def]
    """The same without candidates, for those rows of ``rows`` that have too many near ties."""
    exact = np.empty(len(features), np.float64)
    for image in rows[a:b]:
        for j in range(len(features)):
            exact[j] = -dot(features[image], features[j])
        best = np.argsort(exact, kind="mergesort")
        for p in range(count):
            index[image, p] = best[p]
            cosine[image, p] = -exact[best[p]]
