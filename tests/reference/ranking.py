"""The Market-1501 protocol in plain loops, written from its text; float64."""


def score(distance, query_pids, gallery_pids, query_camids, gallery_camids, ap="step"):
    """Return mAP, CMC at 1, 5, 10, 20, mINP, number of skipped queries."""
    aps, firsts, inps, skipped = [], [], [], 0
    for q, row in enumerate(distance):
        kept = [
            g
            for g in range(len(row))
            if not (
                gallery_pids[g] == query_pids[q]
                and gallery_camids[g] == query_camids[q]
                and query_camids[q] >= 0
            )
        ]
        kept.sort(key=lambda g: (row[g], g))
        good = [gallery_pids[g] == query_pids[q] for g in kept]
        if not any(good):
            skipped += 1
            continue
        value, first, last = walk(good, ap)
        aps.append(value)
        firsts.append(first)
        inps.append(sum(good) / last)
    cmc = {k: sum(f <= k for f in firsts) / len(firsts) for k in (1, 5, 10, 20)}
    return sum(aps) / len(aps), cmc, sum(inps) / len(inps), skipped


def walk(good, ap):
    """AP, rank of the first and of the last hit, of one ranked list."""
    hits, total, first, last, old_precision = 0, 0.0, None, None, 1.0
    for rank, hit in enumerate(good, start=1):
        hits += bool(hit)
        precision = hits / rank
        if hit:
            first = first or rank
            last = rank
            total += precision if ap == "step" else (old_precision + precision) / 2
        old_precision = precision
    return total / hits, first, last
