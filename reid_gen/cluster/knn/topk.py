"""Best gallery matches of each query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from reid_gen.types import Float32Array, Int64Array

_BLOCK = 256
"""Queries whose distances are held at once."""
_SHARD = 65536
"""Gallery rows that are compared at once."""


@dataclass(frozen=True)
class Matches:
    """The k best gallery matches of each query.

    Attributes:
        index: Gallery rows by increasing distance, ties in gallery order, [Q, k].
        distance: Distances of these rows, such as 1 - cosine similarity, at least 0, [Q, k]
            float32; infinity marks columns beyond a query's number of matches.
    """

    index: Int64Array
    distance: Float32Array


def similarities(query: Float32Array, gallery: Float32Array) -> Float32Array:
    """Compute cosine similarities [Q, G] in float32 of unit rows; float16 is converted by shards.

    Args:
        query: L2-normalised features, [Q, D].
        gallery: L2-normalised features, [G, D] float32 or float16; may be memory-mapped.
    """
    query = np.asarray(query, np.float32)
    if gallery.dtype == np.float32:
        return query @ gallery.T
    cosine = np.empty((len(query), len(gallery)), np.float32)
    for start in range(0, len(gallery), _SHARD):
        shard = slice(start, start + _SHARD)
        cosine[:, shard] = query @ np.asarray(gallery[shard], np.float32).T
    return cosine


def best_matches(
    query: Float32Array,
    gallery: Float32Array,
    top: int,
    same_image: sparse.csr_matrix | None = None,
) -> Matches:
    """Find the ``top`` most similar gallery rows of each query without a full distance matrix.

    Args:
        query: L2-normalised features, [Q, D].
        gallery: L2-normalised features, [G, D] float32 or float16; may be memory-mapped.
        top: Number of matches per query; capped at G.
        same_image: Mask of pairs that are the same image, which is no match, [Q, G]; None if there
            are none.

    Returns:
        The matches, [Q, min(top, G)].
    """
    blocks = []
    for start in range(0, len(query), _BLOCK):
        rows = query[start : start + _BLOCK]
        index = np.empty((len(rows), 0), np.int64)
        distance = np.empty((len(rows), 0), np.float32)
        for offset in range(0, len(gallery), _SHARD):
            shard = slice(offset, offset + _SHARD)
            # Rounding may make the distance of an image to itself negative.
            shard_distance = np.maximum(1 - similarities(rows, gallery[shard]), 0)
            if same_image is not None:
                shard_distance[same_image[start : start + _BLOCK, shard].toarray()] = np.inf
            shard_index, shard_best = _smallest(shard_distance, top)
            index = np.concatenate([index, shard_index + offset], axis=1)
            column, distance = _smallest(np.concatenate([distance, shard_best], axis=1), top)
            index = np.take_along_axis(index, column, axis=1)
        blocks.append((index, distance))
    return Matches(*(np.concatenate(arrays) for arrays in zip(*blocks, strict=True)))


def matches_from_distances(
    distances: Iterable[tuple[int, Float32Array]],
    top: int,
    same_image: sparse.csr_matrix | None = None,
) -> Matches:
    """Find the best matches in blocks of precomputed distances, such as re-ranked ones.

    Args:
        distances: First query and distances [b, G] of each block, in the order of the queries.
        top: Number of matches per query; capped at G.
        same_image: As in :func:`best_matches`.

    Returns:
        The matches, [Q, min(top, G)].
    """
    blocks = []
    for start, distance in distances:
        if same_image is not None:
            mask = same_image[start : start + len(distance)].toarray()
            distance = np.where(mask, np.float32(np.inf), distance)
        blocks.append(_smallest(distance, top))
    return Matches(*(np.concatenate(arrays) for arrays in zip(*blocks, strict=True)))


def _smallest(distance: Float32Array, top: int) -> tuple[Int64Array, Float32Array]:
    """Columns and values of the ``top`` smallest distances of each row, in increasing order."""
    count = min(top, distance.shape[1])
    columns = np.sort(np.argpartition(distance, count - 1, axis=1)[:, :count], axis=1)
    values = np.take_along_axis(distance, columns, axis=1)
    order = np.argsort(values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
