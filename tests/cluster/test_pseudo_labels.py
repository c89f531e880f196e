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
    pseudo_labels,
    usual_neighbours,
)
from reid_gen.errors import UserError
from reid_gen.evaluation.clustering_metrics import clustering_quality
from tests.cluster.features import people
from tests.reference import jaccard as slow


def sparse_distance(features, k1=8, k2=3):
    return jaccard_distances(features, nearest(features, k1), k1=k1, k2=k2)


@pytest.mark.parametrize("eps", [0.31, 0.52, 0.71])
def test_labels_equal_dbscan_on_the_dense_float64_distances(eps):
    features, _ = people(persons=20, each=6, noise=0.9)
    expected = slow.distances(features, 8, 3)
    np.fill_diagonal(expected, 0)
    assert np.abs(expected - eps).min() > 1e-5  # else float32 may decide otherwise at eps
    dense = DBSCAN(eps=eps, min_samples=4, metric="precomputed").fit_predict(expected)
    np.testing.assert_array_equal(dbscan(sparse_distance(features), eps, 4), dense)


def test_dbscan_equals_that_of_scikit_learn_where_clusters_touch_and_images_repeat():
    rng = np.random.default_rng(0)
    met = {"border": 0, "between": 0}
    for size, many in [(40, 2), (60, 4), (80, 5), (4, 4), (5, 1)] * 40:
        places = rng.random((size, 2))
        places[: size // 4] = places[-(size // 4) :]  # copies, at distance 0
        distance = np.linalg.norm(places[:, None] - places[None], axis=2)
        near = distance <= 0.12
        rows, columns = np.nonzero(near & ~np.eye(size, dtype=bool))
        stored = (distance[rows, columns], (rows, columns))
        found = dbscan(sparse.csr_matrix(stored, shape=distance.shape), 0.12, many)
        algorithm = DBSCAN(eps=0.12, min_samples=many, metric="precomputed")
        np.testing.assert_array_equal(found, algorithm.fit_predict(distance))
        core = near.sum(axis=1) >= many
        reached = [set(found[row & core]) for row in near[~core]]
        met["border"] += sum(len(labels) == 1 for labels in reached)
        met["between"] += sum(len(labels) > 1 for labels in reached)
    assert min(met.values()) > 10  # images that one cluster reaches, and that several do


def test_the_share_rule_is_the_mean_of_the_smallest_distances():
    features, _ = people(persons=20, each=6, noise=0.9)
    distance = slow.distances(features, 8, 3)
    pairs = np.sort(distance[np.triu_indices(len(distance), 1)])
    for share in (0.01, 0.5):
        wanted = round(share * len(pairs))
        found = choose_eps(sparse_distance(features), ShareEps(share))
        assert found == pytest.approx(pairs[:wanted].mean(), abs=1e-6)


def test_share_eps_may_leave_copies_out():
    features, _ = people(persons=20, each=6, noise=0.9)
    features = np.concatenate([features, features[:30]])
    distance = slow.distances(features, 8, 3)
    pairs = distance[np.triu_indices(len(distance), 1)].round(9)
    assert (pairs == 0).sum() >= 10
    others = np.sort(pairs[np.nonzero(pairs)])
    for share in (0.01, 0.5):
        wanted = others[: round(share * len(others))].mean()
        found = choose_eps(sparse_distance(features), ShareEps(share, copies=False))
        assert found == pytest.approx(wanted, abs=1e-6)
        assert choose_eps(sparse_distance(features), ShareEps(share)) < wanted


def test_a_share_of_nothing_but_copies_is_refused():
    distance = sparse.csr_matrix((np.zeros(2, np.float32), ([0, 1], [1, 0])), (5, 5))
    with pytest.raises(UserError, match=r"nearest 1 of all pairs \(share 0.1\) are at distance 0"):
        choose_eps(distance, ShareEps(0.1))


def test_well_separated_people_become_one_cluster_each():
    features, pids = people(persons=15, each=8, noise=0.3)
    found = pseudo_labels(features, eps=FixedEps(0.5), k1=8, k2=3)
    assert found.clusters == 15
    assert clustering_quality(found.labels, pids) == {
        "nmi": pytest.approx(1),
        "ari": pytest.approx(1),
        "purity": pytest.approx(1),
    }


def test_the_summary_counts_clusters_outliers_and_the_largest_cluster():
    features, _ = people(persons=5, each=8, noise=0.3)
    lonely, _ = people(persons=6, each=1, seed=9)
    found = pseudo_labels(np.concatenate([features, lonely]), eps=FixedEps(0.4), k1=8, k2=3)
    assert found.summary() == {"clusters": 5, "outliers": 6, "largest_cluster": 8, "eps": 0.4}


@pytest.mark.parametrize(("persons", "each"), [(2, 4), (3, 8), (6, 4), (10, 8)])
def test_pseudo_labels_tell_few_people_apart(persons, each):
    features, pids = people(persons=persons, each=each, noise=0.3, common=3)
    assert pseudo_labels(features, eps=FixedEps(0.5), k1=30, k2=6).clusters < persons
    found = pseudo_labels(features, eps=FixedEps(0.5))
    assert clustering_quality(found.labels, pids)["ari"] == 1
    assert found.clusters == persons


def test_usual_neighbours_are_fewer_for_few_images_only():
    assert [usual_neighbours(n) for n in (8, 24, 64, 96, 239)] == [
        (6, 3), (6, 3), (8, 4), (12, 6), (29, 6),
    ]  # fmt: skip
    assert {usual_neighbours(n) for n in (240, 300, 10**6)} == {(30, 6)}


def test_pseudo_labels_of_many_images_are_those_of_k1_30():
    features, _ = people(persons=40, each=6, noise=0.6)
    plain = pseudo_labels(features, eps=FixedEps(0.5), k1=30, k2=6)
    found = pseudo_labels(features, eps=FixedEps(0.5))
    np.testing.assert_array_equal(found.labels, plain.labels)
    assert (found.k1, found.k2) == (30, 6)
