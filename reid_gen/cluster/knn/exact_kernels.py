"""Numba kernels of the exact CPU search: collect candidates from tiles, compare them in float64."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba.core import types
from numba.extending import overload
from numpy.typing import NDArray

from reid_gen.cluster.knn.bounds import StoredBounds
from reid_gen.cluster.knn.quantised import QuantisedRows, product_bound
from reid_gen.cluster.parallel import bits_to_float, dot, float_to_bits
from reid_gen.types import Float32Array, Float64Array, Int64Array

CAPACITY = 64
"""Candidates of an image that are kept before they are compared in float64."""
SIMD_WIDTH = 32
"""Products that are compared with a threshold at once, before any is examined alone."""


class SearchState(NamedTuple):
    """Nearest rows found so far, and candidates that have not been compared yet.

    Attributes:
        nearest: Nearest rows of each image so far, best first, [N, k].
        product: Their float64 products, or negative infinity where there is none yet, [N, k].
        bound: Upper bounds of the products with the candidates, [N, ``CAPACITY``].
        row: Row indices of the candidates, [N, ``CAPACITY``].
        used: Number of candidates of each image, [N].
        threshold: Bits of the smallest bound of a product that can be among the nearest, [N].
        features: Features for the float64 products, [N, D] as of ``numba_view``.
        sieve: The features in 8 bits, which rule out candidates first; no rows for no sieve.
        margin: Largest amount by which a product may exceed its bound.
        sign: 1 to find the largest products; -1 for the smallest, as the largest negated ones.
    """

    nearest: Int64Array
    product: Float64Array
    bound: Float32Array
    row: NDArray[np.int32]
    used: NDArray[np.int32]
    threshold: StoredBounds
    features: NDArray[np.generic]
    sieve: QuantisedRows
    margin: float
    sign: int


def _to_float(stored: object) -> float:
    """Convert a stored product to a float; numba compiles the overload for its type."""
    raise NotImplementedError


@overload(_to_float)
def _to_float_overload(stored):  # type: ignore[no-untyped-def]
    if stored == types.int16:  # the upper half of a float32
        return lambda stored: bits_to_float(np.int32(stored) << np.int32(16))
    return lambda stored: bits_to_float(stored)


def _to_stored(value: float, like: object) -> object:
    """Convert a threshold to the type of the tiles, which is that of ``like``."""
    raise NotImplementedError


@overload(_to_stored)
def _to_stored_overload(value, like):  # type: ignore[no-untyped-def]
    # Positive floats are ordered as their bits are; otherwise the smallest integer lets all pass.
    if like.dtype == types.int16:
        return lambda value, like: (
            np.int16(float_to_bits(np.float32(value)) >> 16) if value > 0 else np.int16(-(2**15))
        )
    return lambda value, like: float_to_bits(np.float32(value)) if value > 0 else np.int32(-(2**31))


@numba.njit(cache=True, nogil=True)
def scan_first(a, b, tile, top, left, state):  # type: ignore[no-untyped-def]
    """Scan rows a to b of a tile as :func:`scan_rows` does, for images without any neighbours yet.

    The products above the count-th largest of the maxima of disjoint groups of columns come first:
    they are few, and the nearest among them set a threshold for the others.
    """
    count = state.nearest.shape[1]
    groups = min(tile.shape[1] // 2, 8 * count)
    columns = tile.shape[1] // max(1, groups) * groups
    largest = np.empty(groups, tile.dtype)
    lowest, highest = _limits(tile)
    for r in range(a, b):
        row = tile[r]
        largest[:] = 0
        for start in range(0, columns, groups):
            part = row[start : start + groups]
            for g in range(groups):
                largest[g] = max(largest[g], part[g])
        first = lowest
        if groups >= count:
            kth = np.partition(largest, groups - count)[groups - count]
            # Maxima start at 0, so that 0 says nothing.
            first = kth if kth > 0 else lowest
        _push_range(top + r, row, left, first, highest, state)
        if first > lowest:
            _compare(top + r, state)
            _push_range(top + r, row, left, lowest, first, state)


@numba.njit(cache=True, nogil=True)
def scan_rows(a, b, tile, top, left, state):  # type: ignore[no-untyped-def]
    """Collect candidates of the images in the tile's rows a to b, found among its columns.

    Args:
        a: First row.
        b: Row after the last.
        tile: Bounds [R, C] of the products of images ``top`` to ``top + R`` with ``left`` to
            ``left + C``: the bits of float32 as int32, or of bfloat16 as int16.
        top: Image of the first row.
        left: Image of the first column.
        state: A :class:`SearchState`.
    """
    lowest, highest = _limits(tile)
    for r in range(a, b):
        _push_range(top + r, tile[r], left, lowest, highest, state)


@numba.njit(cache=True, nogil=True)
def scan_columns(a, b, tile, top, left, state):  # type: ignore[no-untyped-def]
    """Collect candidates of the images in the tile's columns a to b, found among its rows.

    The arguments are those of :func:`scan_rows`, with ``a`` and ``b`` as columns.
    """
    for r in range(tile.shape[0]):
        row = tile[r]
        for start in range(a, b, SIMD_WIDTH):
            stop = min(b, start + SIMD_WIDTH)
            part, thresholds = row[start:stop], state.threshold[left + start : left + stop]
            if _any_reaches(part, thresholds):
                for c in range(len(part)):
                    if part[c] >= thresholds[c]:
                        _push(left + start + c, top + r, _to_float(part[c]), state)


@numba.njit(cache=True, nogil=True)
def compare_candidates(a, b, state):  # type: ignore[no-untyped-def]
    """Compare the remaining candidates of images a to b in float64."""
    for image in range(a, b):
        _compare(image, state)


@numba.njit(cache=True, nogil=True)
def _limits(tile):  # type: ignore[no-untyped-def]
    """Smallest and largest value of the tile's type; the largest stands for no number."""
    highest = 2 ** (8 * tile.itemsize - 1) - 1
    return -highest - 1, highest


@numba.njit(cache=True, nogil=True)
def _push_range(image, row, left, low, high, state):  # type: ignore[no-untyped-def]
    """Push the columns of a tile's row from ``low`` to below ``high`` that reach the threshold."""
    for start in range(0, len(row), SIMD_WIDTH):
        part = row[start : start + SIMD_WIDTH]
        largest = part[0]
        for c in range(1, len(part)):
            largest = max(largest, part[c])
        lowest = max(low, state.threshold[image])
        if largest >= lowest:
            for c in range(len(part)):
                if lowest <= part[c] < high:
                    _push(image, left + start + c, _to_float(part[c]), state)


@numba.njit(cache=True, nogil=True)
def _any_reaches(values, thresholds):  # type: ignore[no-untyped-def]
    reaches = np.int16(0)
    for c in range(len(values)):
        reaches |= np.int16(values[c] >= thresholds[c])
    return reaches != 0


@numba.njit(cache=True, nogil=True)
def _push(image, candidate, bound, state):  # type: ignore[no-untyped-def]
    """Append a candidate to an image's list; a full list is compared."""
    length = state.used[image]
    state.bound[image, length] = bound
    state.row[image, length] = candidate
    state.used[image] = length + 1
    if length + 1 == state.bound.shape[1]:
        _compare(image, state)


@numba.njit(cache=True, nogil=True)
def _compare(image, state):  # type: ignore[no-untyped-def]
    """Compare an image's candidates in float64; empties the list."""
    nearest, products = state.nearest[image], state.product[image]
    bounds = state.bound[image, : state.used[image]]
    # Sorted until there is a threshold; later, that takes longer than the products that it saves.
    for p in np.argsort(-bounds) if products[-1] == -np.inf else np.arange(len(bounds)):
        candidate, lowest = state.row[image, p], products[-1] - state.margin
        bound = bounds[p]
        if bound >= lowest and len(state.sieve.levels) > 0:
            bound = min(bound, product_bound(image, candidate, state.sign, state.sieve))
        if bound >= lowest:
            product = state.sign * dot(state.features[image], state.features[candidate])
            _insert(nearest, products, candidate, product)
    state.used[image] = 0
    state.threshold[image] = _to_stored(products[-1] - state.margin, state.threshold)


@numba.njit(cache=True, nogil=True)
def _insert(index, cosine, candidate, product):  # type: ignore[no-untyped-def]
    """Insert into a list by decreasing product, ties by increasing index; the last one drops."""
    p = len(index) - 1
    if product < cosine[p] or (product == cosine[p] and candidate > index[p]):
        return
    while p > 0 and (
        product > cosine[p - 1] or (product == cosine[p - 1] and candidate < index[p - 1])
    ):
        cosine[p] = cosine[p - 1]
        index[p] = index[p - 1]
        p -= 1
    cosine[p] = product
    index[p] = candidate


@numba.njit(cache=True, nogil=True)
def rank_listed(a, b, features, candidates, index, cosine):  # type: ignore[no-untyped-def]
    """Write the best of given candidates [N, R] to ``index`` and ``cosine``; duplicates count once.

    The image itself fills the columns for which it has too few candidates.
    """
    for image in range(a, b):
        listed = np.unique(candidates[image])
        for candidate in listed:
            product = dot(features[image], features[candidate])
            _insert(index[image], cosine[image], candidate, product)
        for p in range(len(listed), index.shape[1]):
            index[image, p] = image
            cosine[image, p] = dot(features[image], features[image])
