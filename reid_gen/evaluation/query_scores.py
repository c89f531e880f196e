"""Scores of each query by the Market-1501 protocol."""

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
    """Of each query; those without a match have NaN, and rank 0.

    Attributes:
        precision: Average precision, [Q].
        first: Rank of the first match, from 1, [Q].
        inverse_penalty: Matches over the rank of the last one, [Q].
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
    """Score every query by itself.

    Images of the gallery that count for no query: those of unknown people, which Market-1501 calls
    junk. Those that do not count for one: of its own pid and camera, where the camera is known,
    and the query's own image.

    Args:
        distances: Number of the first query of each block, and its distances [b, G].
        query_pids: [Q]; ``UNKNOWN`` has no match.
        gallery_pids: [G]; ``UNKNOWN`` is junk.
        query_camids: [Q]; ``UNKNOWN`` is the same camera as no other.
        gallery_camids: [G].
        same_image: Where both are one image, [Q, G]; None if that is not so of any.
        ap: As in :func:`~reid_gen.evaluation.ranking.evaluate_ranking`.

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
        own = start + query[starts]
        precision[own] = np.add.reduceat(_precision(hit, rank, ap), starts) / matches
        first[own] = rank[starts]
        penalty[own] = hit[last] / rank[last]
    return QueryScores(precision, first, penalty)


def _match_ranks(
    distance: Float32Array, match: NDArray[np.bool_], dropped: NDArray[np.bool_]
) -> tuple[Int64Array, Int64Array]:
    """Query row and rank (from 1) of every match, by query and then by rank.

    A rank is counted, not sorted for: one more than the images that are nearer. A query has few
    matches, so that this costs less than sorting the gallery.
    """
    query, place = np.nonzero(match)
    hidden_query, hidden = np.nonzero(dropped)
    start = np.searchsorted(hidden_query, np.arange(len(match) + 1))
    rank = _count_nearer(np.ascontiguousarray(distance), query, place, start, hidden) + 1
    order = np.lexsort((rank, query))
    return query[order], rank[order]


@numba.njit(nogil=True, cache=True)
def _count_nearer(
    distance: Float32Array,
    query: Int64Array,
    place: Int64Array,
    start: Int64Array,
    hidden: Int64Array,
) -> Int64Array:
    """Images that come before each match and are not dropped; equal ones keep their order.

    ``hidden[start[q] : start[q + 1]]`` are the dropped images of query q.
    """
    counts = np.empty(len(query), dtype=np.int64)
    for n in range(len(query)):
        row, own = distance[query[n]], place[n]
        value = row[own]
        count = 0
        for other in range(own):
            count += row[other] <= value
        for other in range(own + 1, len(row)):
            count += row[other] < value
        for other in hidden[start[query[n]] : start[query[n] + 1]]:
            count -= row[other] < value or (row[other] == value and other < own)
        counts[n] = count
    return counts


def _precision(hit: Int64Array, rank: Int64Array, ap: ApRule) -> NDArray[np.float64]:
    """Precision at the n-th hit, or its mean with the precision just before."""
    at = hit / rank
    if ap == "step":
        return at
    before = np.where(rank > 1, (hit - 1) / np.maximum(rank - 1, 1), 1.0)
    return (before + at) / 2
