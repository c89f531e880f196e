"""Losses as loops from the papers; Python floats."""

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


def supcon_out(features, group, image, temperature):
    """Khosla et al., 2020, eq. 2, without candidates of the anchor's own image; no positives: 0."""
    total = 0.0
    for i, z in enumerate(features):
        others = [a for a in range(len(features)) if image[a] != image[i]]
        below = sum(math.exp(_dot(z, features[a]) / temperature) for a in others)
        mates = [p for p in others if group[p] == group[i]]
        for p in mates:
            total -= math.log(math.exp(_dot(z, features[p]) / temperature) / below) / len(mates)
    return total / len(features)


def stable_rep(features, group, image, temperature):
    """Tian et al., 2023, eq. 3 as written: cross entropy of p and q; also H(p), its floor."""
    loss = floor = 0.0
    for i, z in enumerate(features):
        others = [a for a in range(len(features)) if image[a] != image[i]]
        raised = {a: math.exp(_dot(z, features[a]) / temperature) for a in others}
        matches = sum(1 for a in others if group[a] == group[i])
        for a in others:
            p = (1 / matches) if matches and group[a] == group[i] else 0.0
            loss -= p * math.log(raised[a] / sum(raised.values()))
            floor -= p * math.log(p) if p else 0.0
    return loss / len(features), floor / len(features)


def gcl_pair(anchor, positive, memory, negatives, temperature):
    """One of GCL's three terms: InfoNCE of vectors, each with its own positive and negatives."""
    total = 0.0
    for z, p, chosen in zip(anchor, positive, negatives, strict=True):
        raised = math.exp(_dot(z, p) / temperature)
        against = sum(math.exp(_dot(z, memory[n]) / temperature) for n in chosen)
        total -= math.log(raised / (raised + against))
    return total / len(anchor)


def least_squares(maps, wanted):
    """Mao et al., 2017, summed over scales: mean squared distance from what D should say."""
    total = 0.0
    for judged in maps:
        values = [float(value) for value in judged.flatten()]
        total += sum((value - wanted) ** 2 for value in values) / len(values)
    return total


def mean_absolute(found, wanted):
    """Mean of |found - wanted| over all elements."""
    pairs = list(zip(found.flatten().tolist(), wanted.flatten().tolist(), strict=True))
    return sum(abs(one - other) for one, other in pairs) / len(pairs)


def weighted_absolute(found, wanted, weight):
    """Mean of |found - wanted| over channels, then over pixels by their weights."""
    error = total = 0.0
    for picture in range(found.shape[0]):
        for y in range(found.shape[2]):
            for x in range(found.shape[3]):
                own = float(weight[picture, 0, y, x])
                channels = zip(found[picture, :, y, x], wanted[picture, :, y, x], strict=True)
                error += own * sum(abs(float(a) - float(b)) for a, b in channels) / found.shape[1]
                total += own
    return error / total


def penalty(judge, pictures, step=1e-5):
    """R1 by central differences: mean over pictures of the squared gradient of the summed map."""
    total = 0.0
    for picture in pictures:
        flat = picture.detach().flatten()
        for place in range(len(flat)):
            moved = []
            for sign in (1, -1):
                other = flat.clone()
                other[place] += sign * step
                moved.append(judge(other.view(1, *picture.shape)).sum().item())
            total += ((moved[0] - moved[1]) / (2 * step)) ** 2
    return total / len(pictures)


def _dot(one, other):
    return sum(float(a) * float(b) for a, b in zip(one, other, strict=True))
