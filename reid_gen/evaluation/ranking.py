"""CMC, mAP and mINP by the Market-1501 protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from reid_gen.cluster.knn.topk import similarities
from reid_gen.errors import UserError
from reid_gen.evaluation.query_scores import ApRule, score_queries
from reid_gen.types import UNKNOWN, Float32Array, Int64Array

RANKS = (1, 5, 10, 20)
_BLOCK = 256
_MAX_SIMILARITIES = 2**26
"""Largest number of similarities in a block: 256 MiB in float32."""


@dataclass(frozen=True)
class RankingResult:
    """Scores of an evaluation, all in 0..1, and how they were computed.

    Attributes:
        mean_ap: Mean average precision over the valid queries.
        cmc: Share of valid queries whose first match comes within rank k, for k in ``RANKS``.
        minp: Mean inverse negative penalty: number of matches / rank of the last match (Ye et al.,
            2021).
        valid_queries: Number of queries with at least one match in the gallery.
        skipped_queries: Number of queries without a match; no score includes them.
        junk: Number of gallery images of unknown people, which are left out.
        same_images: Number of pairs of a query and its own image in the gallery; they are left out.
        unknown_cameras: Number of query and gallery images with an unknown camera, for which the
            same-camera rule drops nothing.
        ap: Definition of average precision.
        reranking: Name of the re-ranking or post-processing variant, or ``none``.
    """

    mean_ap: float
    cmc: dict[int, float]
    minp: float
    valid_queries: int
    skipped_queries: int
    junk: int
    same_images: int
    unknown_cameras: int
    ap: ApRule
    reranking: str = "none"

    def as_dict(self) -> dict[str, float | int | str]:
        """Return plain values for JSON and the metrics log."""
        return {
            "mAP": self.mean_ap,
            **{f"rank-{rank}": share for rank, share in self.cmc.items()},
            "mINP": self.minp,
            "valid_queries": self.valid_queries,
            "skipped_queries": self.skipped_queries,
            "junk": self.junk,
            "same_images": self.same_images,
            "unknown_cameras": self.unknown_cameras,
            "ap": self.ap,
            "ties": "gallery order",
            "reranking": self.reranking,
        }


def evaluate_ranking(
    query: Float32Array,
    gallery: Float32Array,
    query_pids: Int64Array,
    gallery_pids: Int64Array,
    query_camids: Int64Array,
    gallery_camids: Int64Array,
    *,
    same_image: sparse.csr_matrix | None = None,
    ap: ApRule = "step",
    block: int | None = None,
    reranking: str = "none",
) -> RankingResult:
    """Rank the gallery by cosine similarity for every query and score the rankings.

    Gallery images with the query's pid and camera are dropped; images of its camera with another
    pid and distractors stay (Zheng et al., ICCV 2015). A camera of -1 is unknown and drops nothing.
    A pid of -1 is junk in the gallery, and has no match as a query. Ties keep gallery order.

    Args:
        query: L2-normalised query features, [Q, D].
        gallery: L2-normalised gallery features, [G, D] float32 or float16; may be memory-mapped.
        query_pids: Pids of the queries, [Q].
        gallery_pids: Pids of the gallery, [G].
        query_camids: Cameras of the queries, [Q].
        gallery_camids: Cameras of the gallery, [G].
        same_image: Mask [Q, G] of gallery images identical to the query, which are left out; None
            if there are none.
        ap: Definition of average precision: ``step`` averages the precision at every hit (all
            current toolboxes); ``trapezoid`` first averages it with the precision one rank before
            the hit (the 2015 MATLAB code).
        block: Number of queries per block, see :func:`cosine_blocks`; memory is ``block`` x G.
        reranking: Name of the variant in the result.

    Returns:
        The scores.

    Raises:
        UserError: If a distance is not finite, or no query has a match.
    """
    labels = (query_pids, gallery_pids, query_camids, gallery_camids)
    distances = cosine_blocks(query, gallery, block)
    return evaluate_blocks(distances, *labels, same_image=same_image, ap=ap, reranking=reranking)


def cosine_blocks(
    query: Float32Array, gallery: Float32Array, block: int | None = None
) -> Iterator[tuple[int, Float32Array]]:
    """Compute negated cosine similarities as distances, one block of queries at a time.

    Args:
        query: L2-normalised query features, [Q, D].
        gallery: L2-normalised gallery features, [G, D] float32 or float16; may be memory-mapped.
        block: Number of queries per block; None takes up to 256, with at most 64 million
            similarities.

    Yields:
        Index of the first query of a block, and its distances [b, G] float32.
    """
    size = block or max(1, min(_BLOCK, _MAX_SIMILARITIES // max(1, len(gallery))))
    for start in range(0, len(query), size):
        yield start, -similarities(query[start : start + size], gallery)


def evaluate_distances(
    distance: Float32Array,
    query_pids: Int64Array,
    gallery_pids: Int64Array,
    query_camids: Int64Array,
    gallery_camids: Int64Array,
    *,
    same_image: sparse.csr_matrix | None = None,
    ap: ApRule = "step",
    reranking: str = "none",
) -> RankingResult:
    """Score rankings given by a distance matrix, by the rules of :func:`evaluate_ranking`.

    Args:
        distance: Distances, [Q, G]; smaller is more similar.
        query_pids: Pids of the queries, [Q].
        gallery_pids: Pids of the gallery, [G].
        query_camids: Cameras of the queries, [Q].
        gallery_camids: Cameras of the gallery, [G].
        same_image: Mask [Q, G] of gallery images identical to the query, which are left out; None
            if there are none.
        ap: Definition of average precision, see :func:`evaluate_ranking`.
        reranking: Name of the variant in the result.

    Returns:
        The scores.

    Raises:
        UserError: If a distance is not finite, or no query has a match.
    """
    blocks = (
        (start, distance[start : start + _BLOCK]) for start in range(0, len(distance), _BLOCK)
    )
    labels = (query_pids, gallery_pids, query_camids, gallery_camids)
    return evaluate_blocks(blocks, *labels, same_image=same_image, ap=ap, reranking=reranking)


def evaluate_blocks(
    distances: Iterable[tuple[int, Float32Array]],
    query_pids: Int64Array,
    gallery_pids: Int64Array,
    query_camids: Int64Array,
    gallery_camids: Int64Array,
    *,
    same_image: sparse.csr_matrix | None = None,
    ap: ApRule = "step",
    reranking: str = "none",
) -> RankingResult:
    """Score rankings given by blocks of distances, by the rules of :func:`evaluate_ranking`.

    Only one block of distances is in memory at a time.

    Args:
        distances: Blocks of distances [b, G], each with the index of its first query.
        query_pids: Pids of the queries, [Q].
        gallery_pids: Pids of the gallery, [G].
        query_camids: Cameras of the queries, [Q].
        gallery_camids: Cameras of the gallery, [G].
        same_image: Mask [Q, G] of gallery images identical to the query, which are left out; None
            if there are none.
        ap: Definition of average precision, see :func:`evaluate_ranking`.
        reranking: Name of the variant in the result.

    Returns:
        The scores.

    Raises:
        UserError: If a distance is not finite, or no query has a match.
    """
    labels = (query_pids, gallery_pids, query_camids, gallery_camids)
    scores = score_queries(distances, *labels, same_image=same_image, ap=ap)
    valid = np.isfinite(scores.precision)
    if not valid.any():
        raise UserError(
            f"none of the {len(valid)} queries has a match in the gallery (the same pid under "
            "another camera, or in another image where cameras are unknown); check the pids and "
            "camids of query and gallery"
        )
    first = scores.first[valid]
    return RankingResult(
        mean_ap=float(scores.precision[valid].mean()),
        cmc={rank: float((first <= rank).mean()) for rank in RANKS},
        minp=float(scores.inverse_penalty[valid].mean()),
        valid_queries=int(valid.sum()),
        skipped_queries=int((~valid).sum()),
        junk=int((gallery_pids == UNKNOWN).sum()),
        same_images=0 if same_image is None else same_image.nnz,
        unknown_cameras=sum(int((c == UNKNOWN).sum()) for c in (query_camids, gallery_camids)),
        ap=ap,
        reranking=reranking,
    )
