"""Results as people in this field read them."""

from __future__ import annotations

from collections.abc import Sequence

from reid_gen.evaluation.ranking import RankingResult


def results_table(results: Sequence[RankingResult]) -> str:
    """Lay results out in percent, one row each, with the rules that they were measured by.

    Args:
        results: At least one.

    Returns:
        Plain text, one line per row.
    """
    head = f"{'re-ranking':<12}{'mAP':>8}" + "".join(f"{f'rank-{k}':>9}" for k in results[0].cmc)
    rows = [
        f"{result.reranking:<12}{100 * result.mean_ap:>8.2f}"
        + "".join(f"{100 * share:>9.2f}" for share in result.cmc.values())
        + f"{100 * result.minp:>8.2f}"
        for result in results
    ]
    rules = (
        f"Market-1501 protocol, single query, cosine; AP: {results[0].ap}; ties: gallery order; "
        f"{results[0].valid_queries} queries, {results[0].skipped_queries} without a match skipped"
    )
    return "\n".join([f"{head}{'mINP':>8}", *rows, rules])
