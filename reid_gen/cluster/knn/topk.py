"""The best matches of each query in a gallery."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from reid_gen.types import Float32Array, Int64Array

_BLOCK = 256
_SHARD = 65536


@dataclass(frozen=True)
class Matches:
    """Of Q queries.

    Attributes:
        index: Rows of the gallery, the best first, equal ones in the gallery's order, [Q, k].
        distance: 1 less the cosine, or another distance; at least 0, [Q, k] float32. Infinity
            where a query has fewer matches.
    """

    index: Int64Array
    distance: Float32Array


def similarities(query: Float32Array, gallery: Float32Array) -> Float32Array:
    """Cosines [Q, G] in float32 of unit rows, which may be memory-mapped float16, by shards."""
    own = np.asarray(query, np.float32)
    if gallery.dtype == np.float32:
        return own @ gallery.T
    result = np.empty((len(own), len(gallery)), np.float32)
    for start in range(0, len(gallery), _SHARD):
        part = slice(start, start + _SHARD)
        result[:, part] = own @ np.asarray(gallery[part], np.float32).T
    return result


def best_matches(
    query: Float32Array,
    gallery: Float32Array,
    top: int,
    same_image: sparse.csr_matrix | None = None,
) -> Matches:
    """Find the ``top`` most similar of the gallery for each query, in blocks and shards.

    Args:
        query: Unit features, [Q, D].
        gallery: Unit features, [G, D] float32, or float16, which may be memory-mapped.
        top: Matches per query; capped at G.
        same_image: Where both are one image, which is no match, [Q, G]; None if not so of any.

    Returns:
        The matches, [Q, min(top, G)].
    """
    found = []
    for start in range(0, len(query), _BLOCK):
        rows = query[start : start + _BLOCK]
        index = np.empty((len(rows), 0), np.int64)
        distance = np.empty((len(rows), 0), np.float32)
        for first in range(0, len(gallery), _SHARD):
            # Of an image with itself rounding may make it negative.
            part = np.maximum(1 - similarities(rows, gallery[first : first + _SHARD]), 0)
            if same_image is not None:
                shard = slice(first, first + _SHARD)
                part[same_image[start : start + _BLOCK, shard].toarray()] = np.inf
            own, near = _least(part, top)
            index = np.concatenate([index, own + first], axis=1)
            place, distance = _least(np.concatenate([distance, near], axis=1), top)
            index = np.take_along_axis(index, place, axis=1)
        found.append((index, distance))
    return Matches(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def nearest_of(
    distances: Iterable[tuple[int, Float32Array]],
    top: int,
    same_image: sparse.csr_matrix | None = None,
) -> Matches:
    """The same from blocks of distances [b, G], such as re-ranked ones."""
    found = []
    for start, block in distances:
        if same_image is not None:
            own = same_image[start : start + len(block)].toarray()
            block = np.where(own, np.float32(np.inf), block)
        found.append(_least(block, top))
    return Matches(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _least(distance: Float32Array, top: int) -> tuple[Int64Array, Float32Array]:
    """Columns of the smallest distances, in order, and these."""
    count = min(top, distance.shape[1])
    near = np.sort(np.argpartition(distance, count - 1, axis=1)[:, :count], axis=1)
    values = np.take_along_axis(distance, near, axis=1)
    order = np.argsort(values, axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1), np.take_along_axis(values, order, axis=1)
