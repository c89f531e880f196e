"""The Market-1501 evaluation protocol in plain loops, written from its description; float64."""


def score(distance, query_pids, gallery_pids, query_camids, gallery_camids, ap="step"):
    """Return mAP, CMC at ranks 1, 5, 10 and 20, mINP, and the number of skipped queries."""
    aps, first_ranks, inps, skipped = [], [], [], 0
    for q, row in enumerate(distance):
        candidates = [
            g
            for g in range(len(row))
            if not (
                gallery_pids[g] == query_pids[q]
                and gallery_camids[g] == query_camids[q]
                and query_camids[q] >= 0
            )
        ]
        candidates.sort(key=lambda g: (row[g], g))
        matches = [gallery_pids[g] == query_pids[q] for g in candidates]
        if not any(matches):
            skipped += 1
            continue
        average_precision, first, last = score_ranking(matches, ap)
        aps.append(average_precision)
        first_ranks.append(first)
        inps.append(sum(matches) / last)
    cmc = {k: sum(r <= k for r in first_ranks) / len(first_ranks) for k in (1, 5, 10, 20)}
    return sum(aps) / len(aps), cmc, sum(inps) / len(inps), skipped


def score_ranking(matches, ap):
    """Return AP, and the ranks of the first and the last match of a ranked list."""
    hits, total, first, last, previous_precision = 0, 0.0, None, None, 1.0
    for rank, match in enumerate(matches, start=1):
        hits += bool(match)
        precision = hits / rank
        if match:
            first = first or rank
            last = rank
            total += precision if ap == "step" else (previous_precision + precision) / 2
        previous_precision = precision
    return total / hits, first, last
