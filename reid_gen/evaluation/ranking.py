"""CMC, mAP and mINP by the Market-1501 protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray

from reid_gen.cluster.matches import similarities
from reid_gen.errors import UserError
from reid_gen.types import Floats, Ints

RANKS = (1, 5, 10, 20)
ApRule = Literal["step", "trapezoid"]
_BLOCK = 256
_AT_ONCE = 2**26
"""Similarities in memory: a quarter of a gigabyte."""


@dataclass(frozen=True)
class RankingResult:
    """What an evaluation measured; all scores in 0..1.

    Attributes:
        mean_ap: Mean average precision over the valid queries.
        cmc: Share of valid queries whose first match comes within rank k, for k in ``RANKS``.
        minp: Mean inverse negative penalty: matches / rank of the last one (Ye et al., 2021).
        valid_queries: Queries with at least one match in the gallery.
        skipped_queries: Queries without; they count nowhere.
        ap: Definition of average precision.
        reranking: Name of the re-ranking variant, or ``none``.
    """

    mean_ap: float
    cmc: dict[int, float]
    minp: float
    valid_queries: int
    skipped_queries: int
    ap: ApRule
    reranking: str = "none"

    def as_dict(self) -> dict[str, float | int | str]:
        """Plain values, for JSON and for the journal."""
        return {
            "mAP": self.mean_ap,
            **{f"rank{rank}": share for rank, share in self.cmc.items()},
            "mINP": self.minp,
            "valid_queries": self.valid_queries,
            "skipped_queries": self.skipped_queries,
            "ap": self.ap,
            "ties": "gallery order",
            "reranking": self.reranking,
        }


def evaluate_ranking(
    query: Floats,
    gallery: Floats,
    query_pids: Ints,
    gallery_pids: Ints,
    query_camids: Ints,
    gallery_camids: Ints,
    *,
    ap: ApRule = "step",
    block: int | None = None,
    reranking: str = "none",
) -> RankingResult:
    """Rank the gallery by cosine similarity for every query, ``block`` queries at a time.

    Gallery images of the query's own pid and camera are dropped; those of its camera with another
    pid stay, and so do distractors (Zheng et al., ICCV 2015). A camera of -1 is unknown and drops
    nothing. Equal similarities keep the gallery's order.

    Args:
        query: Unit features, [Q, D].
        gallery: Unit features, [G, D] float32, or float16, which may be memory-mapped.
        query_pids: [Q].
        gallery_pids: [G].
        query_camids: [Q].
        gallery_camids: [G].
        ap: ``step`` sums precision at every hit (all current toolboxes); ``trapezoid`` averages it
            with the precision before the hit (the 2015 MATLAB code).
        block: Queries at a time, as in :func:`cosine_blocks`; bounds the memory to ``block`` x G.
        reranking: Name of what was done to the features.

    Returns:
        The scores.

    Raises:
        UserError: If a distance is not finite, or no query has a match.
    """
    labels = (query_pids, gallery_pids, query_camids, gallery_camids)
    distances = cosine_blocks(query, gallery, block)
    return evaluate_blocks(distances, *labels, ap=ap, reranking=reranking)


def cosine_blocks(
    query: Floats, gallery: Floats, block: int | None = None
) -> Iterator[tuple[int, Floats]]:
    """Distances of unit features, ``block`` queries at a time: their cosines, negated.

    Args:
        query: [Q, D].
        gallery: [G, D] float32, or float16, which may be memory-mapped.
        block: None takes as many queries as make 64 million similarities.

    Yields:
        Number of the first query of a block, and distances [b, G] float32.
    """
    size = block or max(1, min(_BLOCK, _AT_ONCE // max(1, len(gallery))))
    for start in range(0, len(query), size):
        yield start, -similarities(query[start : start + size], gallery)


def evaluate_distances(
    distance: Floats,
    query_pids: Ints,
    gallery_pids: Ints,
    query_camids: Ints,
    gallery_camids: Ints,
    *,
    ap: ApRule = "step",
    reranking: str = "none",
) -> RankingResult:
    """The same from a distance matrix [Q, G], such as a re-ranked one.

    Args:
        distance: Smaller is more similar, [Q, G].
        query_pids: [Q].
        gallery_pids: [G].
        query_camids: [Q].
        gallery_camids: [G].
        ap: As in :func:`evaluate_ranking`.
        reranking: Name of the variant that made the distances.

    Returns:
        The scores.

    Raises:
        UserError: If a distance is not finite, or no query has a match.
    """
    blocks = (
        (start, distance[start : start + _BLOCK]) for start in range(0, len(distance), _BLOCK)
    )
    labels = (query_pids, gallery_pids, query_camids, gallery_camids)
    return evaluate_blocks(blocks, *labels, ap=ap, reranking=reranking)


def evaluate_blocks(
    distances: Iterable[tuple[int, Floats]],
    query_pids: Ints,
    gallery_pids: Ints,
    query_camids: Ints,
    gallery_camids: Ints,
    *,
    ap: ApRule = "step",
    reranking: str = "none",
) -> RankingResult:
    """The same from blocks of distances, which need never be in memory together.

    Args:
        distances: Number of the first query of each block, and its distances [b, G].
        query_pids: [Q].
        gallery_pids: [G].
        query_camids: [Q].
        gallery_camids: [G].
        ap: As in :func:`evaluate_ranking`.
        reranking: Name of the variant that made the distances.

    Returns:
        The scores.

    Raises:
        UserError: If a distance is not finite, or no query has a match.
    """
    labels = (query_pids, gallery_pids, query_camids, gallery_camids)
    found = score_queries(distances, *labels, ap=ap)
    valid = np.isfinite(found.precision)
    if not valid.any():
        raise UserError(
            f"none of the {len(valid)} queries has a match in the gallery (the same pid under "
            "another camera); check the pids and camids of query and gallery"
        )
    first = found.first[valid]
    return RankingResult(
        mean_ap=float(found.precision[valid].mean()),
        cmc={rank: float((first <= rank).mean()) for rank in RANKS},
        minp=float(found.inverse_penalty[valid].mean()),
        valid_queries=int(valid.sum()),
        skipped_queries=int((~valid).sum()),
        ap=ap,
        reranking=reranking,
    )


@dataclass(frozen=True)
class QueryScores:
    """Of each query; those without a match have NaN, and rank 0.

    Attributes:
        precision: Average precision, [Q].
        first: Rank of the first match, from 1, [Q].
        inverse_penalty: Matches over the rank of the last one, [Q].
    """

    precision: NDArray[np.float64]
    first: Ints
    inverse_penalty: NDArray[np.float64]


def score_queries(
    distances: Iterable[tuple[int, Floats]],
    query_pids: Ints,
    gallery_pids: Ints,
    query_camids: Ints,
    gallery_camids: Ints,
    *,
    ap: ApRule = "step",
) -> QueryScores:
    """Score every query by itself; arguments as in :func:`evaluate_blocks`.

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
        dropped = same & (camids == gallery_camids) & (camids >= 0)
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
    distance: Floats, match: NDArray[np.bool_], dropped: NDArray[np.bool_]
) -> tuple[Ints, Ints]:
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
def _count_nearer(distance: Floats, query: Ints, place: Ints, start: Ints, hidden: Ints) -> Ints:
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


def _precision(hit: Ints, rank: Ints, ap: ApRule) -> NDArray[np.float64]:
    """Precision at the n-th hit, or its mean with the precision just before."""
    at = hit / rank
    if ap == "step":
        return at
    before = np.where(rank > 1, (hit - 1) / np.maximum(rank - 1, 1), 1.0)
    return (before + at) / 2
