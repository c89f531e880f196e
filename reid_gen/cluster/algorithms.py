"""Clustering algorithms on sparse distance matrices."""

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
"""Replaces distance 0, which sparse graph routines take for a missing edge."""


def dbscan(distance: sparse.csr_matrix, eps: float, min_samples: int) -> Int64Array:
    """DBSCAN (Ester et al., KDD 1996).

    Clusters are the connected components of the core points, numbered by their first core point. A
    border point joins the lowest-numbered cluster with a core point within its radius.

    Args:
        distance: Symmetric sparse distances, [N, N]; absent pairs have distance 1.
        eps: Radius.
        min_samples: Number of images within the radius, the image itself included, that make it a
            core point.

    Returns:
        Labels, [N]; -1 is an outlier.
    """
    graph = _radius_graph(distance, eps)
    core = np.flatnonzero(np.diff(graph.indptr) + 1 >= min_samples)
    core_neighbours = graph[:, core]
    _, cluster = connected_components(core_neighbours[core], directed=False)
    labels = np.full(graph.shape[0], OUTLIER, np.int64)
    rows = np.flatnonzero(np.diff(core_neighbours.indptr))
    starts = core_neighbours.indptr[rows]
    labels[rows] = np.minimum.reduceat(cluster[core_neighbours.indices], starts)
    labels[core] = cluster
    return labels


def hdbscan(distance: sparse.csr_matrix, eps: float, min_samples: int) -> Int64Array:
    """HDBSCAN (Campello et al., 2013), which needs no radius.

    Args:
        distance: Symmetric sparse distances, [N, N]; absent pairs have distance 1.
        eps: Ignored.
        min_samples: Smallest cluster size, and number of neighbours of the core distance; at least
            2 is used.

    Returns:
        Labels, [N]; -1 is an outlier.
    """
    min_size = max(2, min_samples)
    labels = np.full(distance.shape[0], OUTLIER, np.int64)
    rows = np.flatnonzero(np.diff(distance.indptr) >= min_size)
    if len(rows) < min_size:
        return labels
    graph = _connect_components(distance[rows][:, rows].astype(np.float64))
    clusterer = HDBSCAN(
        min_cluster_size=min_size,
        min_samples=min_size,
        metric="precomputed",
        metric_params={"max_distance": 1.0},
        copy=True,
    )
    labels[rows] = clusterer.fit_predict(graph)
    return _number_by_first_image(labels)


def _connect_components(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """Link all connected components to the first by edges of distance 1, and remove zeros.

    HDBSCAN of scikit-learn accepts only connected graphs.
    """
    graph.data = np.maximum(graph.data, _TINY)
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    ends = (np.full(len(first) - 1, first[0]), first[1:])
    edges = sparse.csr_matrix((np.ones(len(first) - 1), ends), shape=graph.shape)
    return (graph + edges + edges.T).tocsr()


def agglomerative(distance: sparse.csr_matrix, eps: float, min_samples: int) -> Int64Array:
    """Agglomerative clustering with average linkage, cut at a distance.

    If the mean distance of two clusters is at most eps, so is that of some pair between them.
    Connected components of the radius graph can therefore be clustered independently.

    Args:
        distance: Symmetric sparse distances, [N, N]; absent pairs have distance 1.
        eps: Largest mean distance at which two clusters are merged.
        min_samples: Smallest cluster size; images of smaller clusters are outliers.

    Returns:
        Labels, [N]; -1 is an outlier.
    """
    _, component = connected_components(_radius_graph(distance, eps), directed=False)
    labels = np.full(len(component), OUTLIER, np.int64)
    order = np.argsort(component, kind="stable")
    next_label = 0
    for rows in np.split(order, np.cumsum(np.bincount(component))[:-1]):
        if len(rows) >= min_samples:
            component_labels = _average_linkage(distance[rows][:, rows], eps)
            labels[rows] = next_label + component_labels
            next_label += int(component_labels.max()) + 1
    sizes = np.bincount(labels[labels != OUTLIER], minlength=1)
    too_small = (labels != OUTLIER) & (sizes[labels] < min_samples)
    labels[too_small] = OUTLIER
    return _number_by_first_image(labels)


@dataclass(frozen=True)
class ClusteringAlgorithm:
    """A clustering algorithm on sparse distances.

    Attributes:
        run: Function from distances [N, N], radius and ``min_samples`` to labels [N].
        needs_radius: Whether it uses the radius; otherwise it is called with 1 and ignores it.
    """

    run: Callable[[sparse.csr_matrix, float, int], Int64Array]
    needs_radius: bool = True


ALGORITHMS: dict[ClusteringName, ClusteringAlgorithm] = {
    "dbscan": ClusteringAlgorithm(dbscan),
    "hdbscan": ClusteringAlgorithm(hdbscan, needs_radius=False),
    "agglomerative": ClusteringAlgorithm(agglomerative),
}
"""Clustering algorithms by their name in ``clustering.algorithm``."""


def _radius_graph(distance: sparse.csr_matrix, eps: float) -> sparse.csr_matrix:
    """Keep only the pairs within eps, those at distance 0 included."""
    near = distance.data <= eps
    rows = np.repeat(np.arange(distance.shape[0]), np.diff(distance.indptr))[near]
    entries = (distance.data[near], (rows, distance.indices[near]))
    return sparse.csr_matrix(entries, shape=distance.shape)


def _average_linkage(distance: sparse.csr_matrix, eps: float) -> Int64Array:
    """Cluster one connected component through a dense matrix; labels count from 0."""
    if distance.shape[0] == 1:
        return np.zeros(1, np.int64)
    dense = np.ones(distance.shape)
    rows = np.repeat(np.arange(distance.shape[0]), np.diff(distance.indptr))
    dense[rows, distance.indices] = distance.data
    np.fill_diagonal(dense, 0)
    tree = linkage(squareform(dense, checks=False), "average")
    return (fcluster(tree, eps, "distance") - 1).astype(np.int64)


def _number_by_first_image(labels: Int64Array) -> Int64Array:
    """Renumber clusters in the order of their first image; outliers stay -1."""
    clustered = labels != OUTLIER
    _, first, old_label = np.unique(labels[clustered], return_index=True, return_inverse=True)
    new_label = np.empty(len(first), np.int64)
    new_label[np.argsort(first)] = np.arange(len(first))
    renumbered = np.full(len(labels), OUTLIER, np.int64)
    renumbered[clustered] = new_label[old_label]
    return renumbered
