"""From sparse distances to clusters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform
from sklearn.cluster import HDBSCAN

from reid_gen.choices import ClusteringName
from reid_gen.types import OUTLIER, Int64Array

_TINY = 1e-9
"""In place of distance 0, which a sparse graph would lose."""


def dbscan(distance: sparse.csr_matrix, eps: float, min_samples: int) -> Int64Array:
    """DBSCAN (Ester et al., KDD 1996).

    Core points that reach one another make a cluster, which is numbered by its first; any other
    image belongs to the first cluster with a core point that it reaches.

    Args:
        distance: Symmetric [N, N]; pairs that are not stored are 1 apart.
        eps: Radius.
        min_samples: Images within it, itself included, that make a core point.

    Returns:
        Labels, [N]; -1 is an outlier.
    """
    graph = _closer_than(distance, eps)
    core = np.flatnonzero(np.diff(graph.indptr) + 1 >= min_samples)
    reached = graph[:, core]
    _, part = connected_components(reached[core], directed=False)
    labels = np.full(graph.shape[0], OUTLIER, np.int64)
    some = np.flatnonzero(np.diff(reached.indptr))
    labels[some] = np.minimum.reduceat(part[reached.indices], reached.indptr[some])
    labels[core] = part
    return labels


def hdbscan(distance: sparse.csr_matrix, eps: float, min_samples: int) -> Int64Array:
    """HDBSCAN (Campello et al., 2013), which needs no radius.

    Args:
        distance: As above.
        eps: Not used.
        min_samples: Fewest images of a cluster, and neighbours that make the density.

    Returns:
        Labels, [N]; -1 is an outlier.
    """
    fewest = max(2, min_samples)
    labels = np.full(distance.shape[0], OUTLIER, np.int64)
    rows = np.flatnonzero(np.diff(distance.indptr) >= fewest)
    if len(rows) < fewest:
        return labels
    graph = _in_one_piece(distance[rows][:, rows].astype(np.float64))
    rule = HDBSCAN(
        min_cluster_size=fewest,
        min_samples=fewest,
        metric="precomputed",
        metric_params={"max_distance": 1.0},
        copy=True,
    )
    labels[rows] = rule.fit_predict(graph)
    return _in_order(labels)


def _in_one_piece(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """The same with a link at distance 1 from its first part to every other, and no zeros."""
    graph.data = np.maximum(graph.data, _TINY)
    _, part = connected_components(graph, directed=False)
    _, first = np.unique(part, return_index=True)
    ends = (np.full(len(first) - 1, first[0]), first[1:])
    links = sparse.csr_matrix((np.ones(len(first) - 1), ends), shape=graph.shape)
    return (graph + links + links.T).tocsr()


def agglomerative(distance: sparse.csr_matrix, eps: float, min_samples: int) -> Int64Array:
    """Average linkage up to a distance.

    Clusters that are less than eps apart on average have a pair that is, so that parts without
    such pairs between them can be done one after the other.

    Args:
        distance: As above.
        eps: Largest mean distance at which clusters are joined.
        min_samples: Fewest images of a cluster; smaller ones are outliers.

    Returns:
        Labels, [N]; -1 is an outlier.
    """
    _, part = connected_components(_closer_than(distance, eps), directed=False)
    labels = np.full(len(part), OUTLIER, np.int64)
    order = np.argsort(part, kind="stable")
    next_label = 0
    for rows in np.split(order, np.cumsum(np.bincount(part))[:-1]):
        if len(rows) >= min_samples:
            found = _average_linkage(distance[rows][:, rows], eps)
            labels[rows] = next_label + found
            next_label += int(found.max()) + 1
    counts = np.bincount(labels[labels != OUTLIER], minlength=1)
    small = (labels != OUTLIER) & (counts[labels] < min_samples)
    labels[small] = OUTLIER
    return _in_order(labels)


@dataclass(frozen=True)
class ClusteringAlgorithm:
    """A clustering algorithm on sparse distances.

    Attributes:
        run: Function from distances [N, N], radius and ``min_samples`` to labels [N].
        needs_radius: Whether it takes a radius; one that takes none gets 1 and ignores it.
    """

    run: Callable[[sparse.csr_matrix, float, int], Int64Array]
    needs_radius: bool = True


ALGORITHMS: dict[ClusteringName, ClusteringAlgorithm] = {
    "dbscan": ClusteringAlgorithm(dbscan),
    "hdbscan": ClusteringAlgorithm(hdbscan, needs_radius=False),
    "agglomerative": ClusteringAlgorithm(agglomerative),
}
"""Algorithms by their name in ``clustering.algorithm``."""


def _closer_than(distance: sparse.csr_matrix, eps: float) -> sparse.csr_matrix:
    """Only the pairs within eps; pairs at distance 0 stay stored."""
    close = distance.data <= eps
    rows = np.repeat(np.arange(distance.shape[0]), np.diff(distance.indptr))[close]
    stored = (distance.data[close], (rows, distance.indices[close]))
    return sparse.csr_matrix(stored, shape=distance.shape)


def _average_linkage(part: sparse.csr_matrix, eps: float) -> Int64Array:
    """Labels from 0 of a few images."""
    if part.shape[0] == 1:
        return np.zeros(1, np.int64)
    dense = np.ones(part.shape)
    rows = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
    dense[rows, part.indices] = part.data
    np.fill_diagonal(dense, 0)
    tree = linkage(squareform(dense, checks=False), "average")
    return (fcluster(tree, eps, "distance") - 1).astype(np.int64)


def _in_order(labels: Int64Array) -> Int64Array:
    """The same clusters, numbered by their first image."""
    kept = labels != OUTLIER
    _, first, number = np.unique(labels[kept], return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    ordered = np.full(len(labels), OUTLIER, np.int64)
    ordered[kept] = place[number]
    return ordered
