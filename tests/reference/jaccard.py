"""k-reciprocal Jaccard distance with sets and dense arrays, written from the paper; float64."""

import numpy as np


def nearest(features, count):
    """Row indices of the nearest images of each image, itself first, [N, count]."""
    similarity = features @ features.T
    np.fill_diagonal(similarity, np.inf)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :count]


def encodings(rank, squared, count, k1, k2):
    """Expanded k-reciprocal encodings V, [N, N]."""
    size = len(squared)
    half_k = int(np.around(k1 / 2)) + 1

    def reciprocal(i, k):
        return [j for j in rank[i][:k] if i in rank[j][:k]]

    v = np.zeros((size, size))
    for i in range(size):
        neighbours = set(reciprocal(i, count))
        expanded = set(neighbours)
        for candidate in neighbours:
            candidates = set(reciprocal(candidate, half_k))
            if len(candidates & neighbours) > 2 / 3 * len(candidates):
                expanded |= candidates
        columns = sorted(expanded)
        weight = np.exp(-squared[i, columns])
        v[i, columns] = weight / weight.sum()
    if k2 > 1:
        v = np.stack([v[rank[i][:k2]].mean(axis=0) for i in range(size)])
    return v


def jaccard(v):
    """Jaccard distances ``1 - sum min / sum max`` of all pairs of rows, [N, N]."""
    size = len(v)
    distance = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            union = np.maximum(v[i], v[j]).sum()
            distance[i, j] = 1 - np.minimum(v[i], v[j]).sum() / union if union else 1
    return distance


def distances(features, k1, k2, counts_self=True):
    """Jaccard distances of all pairs of unit features [N, D], [N, N]."""
    features = features.astype(np.float64)
    count = k1 if counts_self else k1 + 1
    squared = 2 - 2 * features @ features.T
    rank = nearest(features, max(count, k1 // 2 + 1, k2))
    return jaccard(encodings(rank, squared, count, k1, k2))


def rerank(query, gallery, k1, k2, weight):
    """Distances of k-reciprocal re-ranking (Zhong et al., 2017), [Q, G]."""
    features = np.concatenate([query, gallery]).astype(np.float64)
    squared = 2 - 2 * features @ features.T
    squared /= squared.max(axis=1, keepdims=True)
    rank = np.argsort(squared, axis=1, kind="stable")
    v = encodings(rank, squared, k1 + 1, k1, k2)
    final = (1 - weight) * jaccard(v) + weight * squared
    return final[: len(query), len(query) :]
