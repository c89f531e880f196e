"""Evaluation results as a text table."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from reid_gen.evaluation.ranking import RankingResult
from reid_gen.text_table import WIDTH, aligned


def results_table(results: Sequence[RankingResult]) -> str:
    """Format results in percent, one row each, followed by the evaluation protocol.

    Args:
        results: One or more results on the same query and gallery.

    Returns:
        Plain text, at most 80 characters wide.
    """
    heads = ("re-ranking", "mAP", *(f"rank-{rank}" for rank in results[0].cmc), "mINP")
    rows = []
    for result in results:
        scores = (result.mean_ap, *result.cmc.values(), result.minp)
        rows.append((result.reranking, *(f"{100 * score:.2f}" for score in scores)))
    return "\n".join([aligned(heads, rows), *textwrap.wrap(_protocol(results[0]), WIDTH)])


def _protocol(result: RankingResult) -> str:
    """Describe the evaluation protocol and the images that were left out."""
    rules = [
        "Market-1501 protocol, single query, cosine",
        f"AP: {result.ap}",
        "ties: gallery order",
        f"{result.valid_queries} queries, {result.skipped_queries} without a match skipped",
    ]
    if result.junk:
        rules.append(f"{result.junk} gallery images of unknown people (junk) left out")
    if result.same_images:
        rules.append(
            f"the query's own image left out {result.same_images} times "
            "(--keep-same-image keeps it)"
        )
    if result.unknown_cameras:
        rules.append(
            f"{result.unknown_cameras} images have no camera, so none of their matches is left out "
            "as one of the same camera"
        )
    return "; ".join(rules)
