import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import DBSCAN

from reid_gen.cluster.algorithms import dbscan
from reid_gen.cluster.jaccard import jaccard_distances
from reid_gen.cluster.knn.neighbours import nearest
from reid_gen.cluster.pseudo_labels import (
    FixedEps,
    ShareEps,
    choose_eps,
    default_k1_k2,
    pseudo_labels,
)
from reid_gen.errors import UserError
from reid_gen.evaluation.clustering_metrics import clustering_quality
from tests.cluster.features import make_features
from tests.reference import jaccard as reference


def sparse_distance(features, k1=8, k2=3):
    """Jaccard distances with few neighbours."""
    return jaccard_distances(features, nearest(features, k1), k1=k1, k2=k2)


@pytest.mark.parametrize("eps", [0.31, 0.52, 0.71])
def test_dbscan_equals_scikit_learn_on_dense_distances(eps):
    features, _ = make_features(persons=20, each=6, noise=0.9)
    expected = reference.distances(features, 8, 3)
    np.fill_diagonal(expected, 0)
    assert np.abs(expected - eps).min() > 1e-5  # no distance is close enough to eps for rounding
    dense_labels = DBSCAN(eps=eps, min_samples=4, metric="precomputed").fit_predict(expected)
    np.testing.assert_array_equal(dbscan(sparse_distance(features), eps, 4), dense_labels)


def test_dbscan_equals_scikit_learn_with_border_points():
    rng = np.random.default_rng(0)
    seen = {"border": 0, "between": 0}
    for size, min_samples in [(40, 2), (60, 4), (80, 5), (4, 4), (5, 1)] * 40:
        points = rng.random((size, 2))
        points[: size // 4] = points[-(size // 4) :]  # duplicates, at distance 0
        distance = np.linalg.norm(points[:, None] - points[None], axis=2)
        near = distance <= 0.12
        rows, columns = np.nonzero(near & ~np.eye(size, dtype=bool))
        entries = (distance[rows, columns], (rows, columns))
        labels = dbscan(sparse.csr_matrix(entries, shape=distance.shape), 0.12, min_samples)
        expected = DBSCAN(eps=0.12, min_samples=min_samples, metric="precomputed")
        np.testing.assert_array_equal(labels, expected.fit_predict(distance))
        core = near.sum(axis=1) >= min_samples
        clusters_in_reach = [set(labels[row & core]) for row in near[~core]]
        seen["border"] += sum(len(clusters) == 1 for clusters in clusters_in_reach)
        seen["between"] += sum(len(clusters) > 1 for clusters in clusters_in_reach)
    assert min(seen.values()) > 10  # border points of one cluster, and of several


def test_choose_eps_averages_the_smallest_distances():
    features, _ = make_features(persons=20, each=6, noise=0.9)
    distance = reference.distances(features, 8, 3)
    pairs = np.sort(distance[np.triu_indices(len(distance), 1)])
    for share in (0.01, 0.5):
        count = round(share * len(pairs))
        eps = choose_eps(sparse_distance(features), ShareEps(share))
        assert eps == pytest.approx(pairs[:count].mean(), abs=1e-6)


def test_choose_eps_can_leave_duplicates_out():
    features, _ = make_features(persons=20, each=6, noise=0.9)
    features = np.concatenate([features, features[:30]])
    distance = reference.distances(features, 8, 3)
    pairs = distance[np.triu_indices(len(distance), 1)].round(9)
    assert (pairs == 0).sum() >= 10
    nonzero = np.sort(pairs[np.nonzero(pairs)])
    for share in (0.01, 0.5):
        expected = nonzero[: round(share * len(nonzero))].mean()
        eps = choose_eps(sparse_distance(features), ShareEps(share, copies=False))
        assert eps == pytest.approx(expected, abs=1e-6)
        assert choose_eps(sparse_distance(features), ShareEps(share)) < expected


def test_choose_eps_refuses_a_share_of_duplicates():
    distance = sparse.csr_matrix((np.zeros(2, np.float32), ([0, 1], [1, 0])), (5, 5))
    with pytest.raises(UserError, match=r"nearest 1 of all pairs \(share 0.1\) are at distance 0"):
        choose_eps(distance, ShareEps(0.1))


def test_pseudo_labels_of_separated_people_are_their_pids():
    features, pids = make_features(persons=15, each=8, noise=0.3)
    result = pseudo_labels(features, eps=FixedEps(0.5), k1=8, k2=3)
    assert result.clusters == 15
    assert clustering_quality(result.labels, pids) == {
        "nmi": pytest.approx(1),
        "ari": pytest.approx(1),
        "purity": pytest.approx(1),
    }


def test_summary_counts_clusters_and_outliers():
    features, _ = make_features(persons=5, each=8, noise=0.3)
    single, _ = make_features(persons=6, each=1, seed=9)
    result = pseudo_labels(np.concatenate([features, single]), eps=FixedEps(0.4), k1=8, k2=3)
    assert result.summary() == {"clusters": 5, "outliers": 6, "largest_cluster": 8, "eps": 0.4}


@pytest.mark.parametrize(("persons", "each"), [(2, 4), (3, 8), (6, 4), (10, 8)])
def test_pseudo_labels_default_k1_separates_few_people(persons, each):
    features, pids = make_features(persons=persons, each=each, noise=0.3, common=3)
    assert pseudo_labels(features, eps=FixedEps(0.5), k1=30, k2=6).clusters < persons
    result = pseudo_labels(features, eps=FixedEps(0.5))
    assert clustering_quality(result.labels, pids)["ari"] == 1
    assert result.clusters == persons


def test_default_k1_k2_shrink_for_few_images_only():
    assert [default_k1_k2(n) for n in (8, 24, 64, 96, 239)] == [
        (6, 3), (6, 3), (8, 4), (12, 6), (29, 6),
    ]  # fmt: skip
    assert {default_k1_k2(n) for n in (240, 300, 10**6)} == {(30, 6)}


def test_pseudo_labels_default_k1_is_30_for_many_images():
    features, _ = make_features(persons=40, each=6, noise=0.6)
    expected = pseudo_labels(features, eps=FixedEps(0.5), k1=30, k2=6)
    result = pseudo_labels(features, eps=FixedEps(0.5))
    np.testing.assert_array_equal(result.labels, expected.labels)
    assert (result.k1, result.k2) == (30, 6)
