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
        junk: Images of the gallery that are left out, because nobody knows who they show.
        same_images: Pairs of a query and its own image in the gallery, which are left out.
        unknown_cameras: Images of both whose camera is unknown, so that it leaves nothing out.
        ap: Definition of average precision.
        reranking: Name of the re-ranking variant, or ``none``.
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
        """Plain values, for JSON and for the journal."""
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
    """Rank the gallery by cosine similarity for every query, ``block`` queries at a time.

    Gallery images of the query's own pid and camera are dropped; those of its camera with another
    pid stay, and so do distractors (Zheng et al., ICCV 2015). A camera of -1 is unknown and drops
    nothing; a pid of -1 is junk there, and a query without a match here. Equal similarities keep
    the gallery's order.

    Args:
        query: Unit features, [Q, D].
        gallery: Unit features, [G, D] float32, or float16, which may be memory-mapped.
        query_pids: [Q].
        gallery_pids: [G].
        query_camids: [Q].
        gallery_camids: [G].
        same_image: Where both are one image, which is left out, [Q, G]; None if not so of any.
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
    return evaluate_blocks(distances, *labels, same_image=same_image, ap=ap, reranking=reranking)


def cosine_blocks(
    query: Float32Array, gallery: Float32Array, block: int | None = None
) -> Iterator[tuple[int, Float32Array]]:
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
    """The same from a distance matrix [Q, G], such as a re-ranked one.

    Args:
        distance: Smaller is more similar, [Q, G].
        query_pids: [Q].
        gallery_pids: [G].
        query_camids: [Q].
        gallery_camids: [G].
        same_image: Where both are one image, which is left out, [Q, G]; None if not so of any.
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
    """The same from blocks of distances, which need never be in memory together.

    Args:
        distances: Number of the first query of each block, and its distances [b, G].
        query_pids: [Q].
        gallery_pids: [G].
        query_camids: [Q].
        gallery_camids: [G].
        same_image: Where both are one image, which is left out, [Q, G]; None if not so of any.
        ap: As in :func:`evaluate_ranking`.
        reranking: Name of the variant that made the distances.

    Returns:
        The scores.

    Raises:
        UserError: If a distance is not finite, or no query has a match.
    """
    labels = (query_pids, gallery_pids, query_camids, gallery_camids)
    found = score_queries(distances, *labels, same_image=same_image, ap=ap)
    valid = np.isfinite(found.precision)
    if not valid.any():
        raise UserError(
            f"none of the {len(valid)} queries has a match in the gallery (the same pid under "
            "another camera, or in another image where cameras are unknown); check the pids and "
            "camids of query and gallery"
        )
    first = found.first[valid]
    return RankingResult(
        mean_ap=float(found.precision[valid].mean()),
        cmc={rank: float((first <= rank).mean()) for rank in RANKS},
        minp=float(found.inverse_penalty[valid].mean()),
        valid_queries=int(valid.sum()),
        skipped_queries=int((~valid).sum()),
        junk=int((gallery_pids == UNKNOWN).sum()),
        same_images=0 if same_image is None else same_image.nnz,
        unknown_cameras=sum(int((c == UNKNOWN).sum()) for c in (query_camids, gallery_camids)),
        ap=ap,
        reranking=reranking,
    )
