"""Scores of each single query by the Market-1501 protocol."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from reid_gen.errors import UserError
from reid_gen.types import UNKNOWN, Float32Array, Int64Array

ApRule = Literal["step", "trapezoid"]


@dataclass(frozen=True)
class QueryScores:
    """Scores of each query; queries without a match have NaN scores and rank 0.

    Attributes:
        precision: Average precision, [Q].
        first: Rank of the first match, counted from 1, [Q].
        inverse_penalty: Number of matches divided by the rank of the last one (INP), [Q].
    """

    precision: NDArray[np.float64]
    first: Int64Array
    inverse_penalty: NDArray[np.float64]


def score_queries(
    distances: Iterable[tuple[int, Float32Array]],
    query_pids: Int64Array,
    gallery_pids: Int64Array,
    query_camids: Int64Array,
    gallery_camids: Int64Array,
    *,
    same_image: sparse.csr_matrix | None = None,
    ap: ApRule = "step",
) -> QueryScores:
    """Score every query.

    The ranking of a query leaves out gallery images of unknown people (junk in Market-1501), of
    the query's own pid and (known) camera, and the query's own image.

    Args:
        distances: Blocks of distances [b, G], each with the index of its first query.
        query_pids: Pids of the queries, [Q]; a query with ``UNKNOWN`` has no match.
        gallery_pids: Pids of the gallery, [G]; images with ``UNKNOWN`` are junk.
        query_camids: Cameras of the queries, [Q]; ``UNKNOWN`` equals no camera.
        gallery_camids: Cameras of the gallery, [G]; ``UNKNOWN`` equals no camera.
        same_image: Mask of gallery images identical to the query, [Q, G]; None if there are none.
        ap: Definition of average precision, see
            :func:`~reid_gen.evaluation.ranking.evaluate_ranking`.

    Raises:
        UserError: If a distance is not finite.
    """
    count = len(query_pids)
    precision, penalty = np.full((2, count), np.nan)
    first = np.zeros(count, np.int64)
    for start, block in distances:
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(bad):
            raise UserError(f"distances of query {start + bad[0]} are not finite; check features")
        rows = slice(start, start + len(block))
        same = query_pids[rows, None] == gallery_pids
        camids = query_camids[rows, None]
        dropped = same & (camids == gallery_camids) & (camids != UNKNOWN)
        dropped[:, gallery_pids == UNKNOWN] = True
        if same_image is not None:
            dropped |= same_image[rows].toarray()
        query, rank = _match_ranks(block, same & ~dropped, dropped)
        if not len(query):
            continue
        starts = np.flatnonzero(np.diff(query, prepend=-1))
        matches = np.diff([*starts, len(query)])
        hit = np.arange(len(query)) - np.repeat(starts, matches) + 1
        last = starts + matches - 1
        scored = start + query[starts]
        precision[scored] = np.add.reduceat(_precision(hit, rank, ap), starts) / matches
        first[scored] = rank[starts]
        penalty[scored] = hit[last] / rank[last]
    return QueryScores(precision, first, penalty)


def _match_ranks(
    distance: Float32Array, match: NDArray[np.bool_], dropped: NDArray[np.bool_]
) -> tuple[Int64Array, Int64Array]:
    """Return query row and rank (from 1) of every match, sorted by query, then by rank.

    A rank is one more than the number of nearer images. A query has few matches, so counting these
    costs less than sorting the gallery.
    """
    query, column = np.nonzero(match)
    dropped_query, dropped_column = np.nonzero(dropped)
    start = np.searchsorted(dropped_query, np.arange(len(match) + 1))
    rank = _count_nearer(np.ascontiguousarray(distance), query, column, start, dropped_column) + 1
    order = np.lexsort((rank, query))
    return query[order], rank[order]


@numba.njit(nogil=True, cache=True)
def _count_nearer(
    distance: Float32Array,
    query: Int64Array,
    column: Int64Array,
    start: Int64Array,
    dropped: Int64Array,
) -> Int64Array:
    """Count the images ranked before each match, without dropped ones; ties keep gallery order.

    ``dropped[start[q] : start[q + 1]]`` are the gallery columns that query q drops.
    """
    counts = np.empty(len(query), dtype=np.int64)
    for n in range(len(query)):
        row, match = distance[query[n]], column[n]
        value = row[match]
        count = 0
        for other in range(match):
            count += row[other] <= value
        for other in range(match + 1, len(row)):
            count += row[other] < value
        for other in dropped[start[query[n]] : start[query[n] + 1]]:
            count -= row[other] < value or (row[other] == value and other < match)
        counts[n] = count
    return counts


def _precision(hit: Int64Array, rank: Int64Array, ap: ApRule) -> NDArray[np.float64]:
    """Precision at each hit; ``trapezoid`` averages it with the precision one rank before."""
    at = hit / rank
    if ap == "step":
        return at
    previous = np.where(rank > 1, (hit - 1) / np.maximum(rank - 1, 1), 1.0)
    return (previous + at) / 2
