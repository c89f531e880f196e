"""Contrastive losses as double loops from the papers; Python floats."""

import math


def multi_positive(similarity, positive, candidate, temperature, denominator):
    """GCL's sum of pair terms (own), SupCon L_out / StableRep (shared)."""
    total = 0.0
    for q in range(len(similarity)):
        columns = [n for n in range(len(similarity[q])) if candidate[q][n]]
        weight = {n: float(positive[q][n]) for n in columns if positive[q][n] > 0}
        mass = sum(weight.values())
        raised = {n: math.exp(float(similarity[q][n]) / temperature) for n in columns}
        negatives = sum(value for n, value in raised.items() if n not in weight)
        for n, share in weight.items():
            below = raised[n] + negatives if denominator == "own" else sum(raised.values())
            total -= share / mass * math.log(raised[n] / below)
    return total / len(similarity)


def info_nce(similarity, target, temperature):
    """van den Oord et al., 2018, eq. 4."""
    rows = []
    for row, positive in zip(similarity, target, strict=True):
        raised = [math.exp(float(value) / temperature) for value in row]
        rows.append(-math.log(raised[positive] / sum(raised)))
    return sum(rows) / len(rows)
