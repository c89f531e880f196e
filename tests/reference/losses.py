"""Losses as loops over Python floats, written from the papers."""

import math


def multi_positive(similarity, positive, candidate, temperature, denominator):
    """Multi-positive InfoNCE: GCL's pair terms (own), SupCon L_out and StableRep (shared)."""
    total = 0.0
    for q in range(len(similarity)):
        columns = [n for n in range(len(similarity[q])) if candidate[q][n]]
        weight = {n: float(positive[q][n]) for n in columns if positive[q][n] > 0}
        total_weight = sum(weight.values())
        exp = {n: math.exp(float(similarity[q][n]) / temperature) for n in columns}
        negatives = sum(value for n, value in exp.items() if n not in weight)
        for n, w in weight.items():
            below = exp[n] + negatives if denominator == "own" else sum(exp.values())
            total -= w / total_weight * math.log(exp[n] / below)
    return total / len(similarity)


def info_nce(similarity, target, temperature):
    """InfoNCE (van den Oord et al., 2018, eq. 4)."""
    losses = []
    for row, positive in zip(similarity, target, strict=True):
        exp = [math.exp(float(value) / temperature) for value in row]
        losses.append(-math.log(exp[positive] / sum(exp)))
    return sum(losses) / len(losses)


def supcon_out(features, group, image, temperature):
    """SupCon's L_out (Khosla et al., 2020, eq. 2) without candidates of the anchor's own image.

    An anchor without positives adds 0.
    """
    total = 0.0
    for i, z in enumerate(features):
        others = [a for a in range(len(features)) if image[a] != image[i]]
        below = sum(math.exp(_dot(z, features[a]) / temperature) for a in others)
        positives = [p for p in others if group[p] == group[i]]
        for p in positives:
            log = math.log(math.exp(_dot(z, features[p]) / temperature) / below)
            total -= log / len(positives)
    return total / len(features)


def stable_rep(features, group, image, temperature):
    """StableRep (Tian et al., 2023, eq. 3): cross entropy of p and q; and its lower bound H(p)."""
    loss = entropy = 0.0
    for i, z in enumerate(features):
        others = [a for a in range(len(features)) if image[a] != image[i]]
        exp = {a: math.exp(_dot(z, features[a]) / temperature) for a in others}
        matches = sum(1 for a in others if group[a] == group[i])
        for a in others:
            p = (1 / matches) if matches and group[a] == group[i] else 0.0
            loss -= p * math.log(exp[a] / sum(exp.values()))
            entropy -= p * math.log(p) if p else 0.0
    return loss / len(features), entropy / len(features)


def gcl_pair(anchor, positive, memory, negatives, temperature):
    """One of GCL's pair terms: InfoNCE, with its own positive and memory rows as negatives each."""
    total = 0.0
    for z, p, rows in zip(anchor, positive, negatives, strict=True):
        numerator = math.exp(_dot(z, p) / temperature)
        against = sum(math.exp(_dot(z, memory[n]) / temperature) for n in rows)
        total -= math.log(numerator / (numerator + against))
    return total / len(anchor)


def least_squares(score_maps, target):
    """Least-squares GAN loss (Mao et al., 2017), summed over scales."""
    total = 0.0
    for scores in score_maps:
        values = [float(value) for value in scores.flatten()]
        total += sum((value - target) ** 2 for value in values) / len(values)
    return total


def mean_absolute(prediction, target):
    """Mean of |prediction - target| over all elements."""
    pairs = list(zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True))
    return sum(abs(a - b) for a, b in pairs) / len(pairs)


def weighted_absolute(prediction, target, weight):
    """Mean of |prediction - target| over channels, then its weighted mean over pixels."""
    error = total = 0.0
    for n in range(prediction.shape[0]):
        for y in range(prediction.shape[2]):
            for x in range(prediction.shape[3]):
                w = float(weight[n, 0, y, x])
                pairs = list(zip(prediction[n, :, y, x], target[n, :, y, x], strict=True))
                error += w * sum(abs(float(a) - float(b)) for a, b in pairs) / len(pairs)
                total += w
    return error / total


def gradient_penalty(discriminator, images, step=1e-5):
    """R1 by central differences: mean over images of the squared gradient of the summed scores."""
    total = 0.0
    for image in images:
        flat = image.detach().flatten()
        for position in range(len(flat)):
            sums = []
            for sign in (1, -1):
                changed = flat.clone()
                changed[position] += sign * step
                sums.append(discriminator(changed.view(1, *image.shape)).sum().item())
            total += ((sums[0] - sums[1]) / (2 * step)) ** 2
    return total / len(images)


def _dot(u, v):
    return sum(float(a) * float(b) for a, b in zip(u, v, strict=True))
