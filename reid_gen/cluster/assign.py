"""From features to pseudo labels: Jaccard distance, eps rule, DBSCAN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.cluster import DBSCAN
from typing_extensions import assert_never

from reid_gen.cluster.jaccard import jaccard_distances
from reid_gen.cluster.neighbours import nearest
from reid_gen.types import OUTLIER, Floats, Ints, Scalars


@dataclass(frozen=True)
class FixedEps:
    """DBSCAN radius as a Jaccard distance in (0, 1)."""

    value: float


@dataclass(frozen=True)
class ShareEps:
    """DBSCAN radius as the mean of the smallest ``share`` of all pairwise distances (MMT, GCL)."""

    share: float


EpsRule = FixedEps | ShareEps


@dataclass(frozen=True)
class PseudoLabels:
    """What clustering found.

    Attributes:
        labels: [N] int64; clusters count from 0 in the order of their first core image; -1 is an
            outlier.
        eps: The radius that was used.
    """

    labels: Ints
    eps: float

    @property
    def clusters(self) -> int:
        """Number of clusters C."""
        return int(self.labels.max(initial=OUTLIER)) + 1

    def summary(self) -> Scalars:
        """Clusters, outliers, size of the largest cluster, eps: what an epoch reports."""
        sizes = np.bincount(self.labels[self.labels != OUTLIER], minlength=1)
        return {
            "clusters": self.clusters,
            "outliers": int((self.labels == OUTLIER).sum()),
            "largest_cluster": int(sizes.max()),
            "eps": self.eps,
        }


def pseudo_labels(
    features: Floats,
    *,
    eps: EpsRule,
    k1: int = 30,
    k1_counts_self: bool = True,
    k2: int = 6,
    min_samples: int = 4,
) -> PseudoLabels:
    """Cluster features without labels.

    Args:
        features: Unit rows, [N, D] float32.
        eps: How DBSCAN's radius is chosen.
        k1: Neighbours of the reciprocal sets.
        k1_counts_self: Whether the image itself is one of the k1.
        k2: Images over which encodings are averaged.
        min_samples: Images within eps, itself included, that make a core point.

    Returns:
        A label per image.
    """
    neighbours = nearest(features, k1 if k1_counts_self else k1 + 1)
    distance = jaccard_distances(features, neighbours, k1=k1, k2=k2, counts_self=k1_counts_self)
    radius = choose_eps(distance, eps)
    return PseudoLabels(dbscan(distance, radius, min_samples), radius)


def choose_eps(distance: sparse.csr_matrix, rule: EpsRule) -> float:
    """Apply an eps rule to sparse distances (absent pairs have distance 1).

    Args:
        distance: Symmetric [N, N], as :func:`~reid_gen.cluster.jaccard.jaccard_distances` gives it.
        rule: The rule. ``ShareEps`` counts pairs at distance 0 too (MMT's code leaves them out).

    Returns:
        The radius.
    """
    match rule:
        case FixedEps(value):
            return value
        case ShareEps(share):
            size = distance.shape[0]
            wanted = max(1, round(share * size * (size - 1) / 2))
            stored = np.sort(sparse.triu(distance, k=1).data)
            smallest = stored[:wanted].astype(np.float64)
            return float((smallest.sum() + (wanted - len(smallest))) / wanted)
        case _:
            assert_never(rule)


def dbscan(distance: sparse.csr_matrix, eps: float, min_samples: int) -> Ints:
    """DBSCAN on sparse distances: labels [N] int64, -1 for outliers."""
    close = distance.data <= eps
    rows = np.repeat(np.arange(distance.shape[0]), np.diff(distance.indptr))[close]
    graph = sparse.csr_matrix(
        (distance.data[close], (rows, distance.indices[close])), shape=distance.shape
    )
    graph.setdiag(0)
    labels = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(graph)
    return np.asarray(labels, dtype=np.int64)
