import numpy as np
import pytest
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score

from reid_gen.cluster import FixedEps, ShareEps, pseudo_labels
from reid_gen.cluster.algorithms import ALGORITHMS, agglomerative
from reid_gen.cluster.jaccard import jaccard_distances
from reid_gen.cluster.knn.neighbours import nearest
from reid_gen.cluster.pseudo_labels import check_features
from reid_gen.errors import UserError
from tests.cluster.features import people
from tests.reference import jaccard as slow

SIZES = {"k1": 8, "k2": 3}


def labels(features, **options):
    eps = None if options.get("algorithm") == "hdbscan" else FixedEps(0.5)
    return pseudo_labels(features, **{"eps": eps, **SIZES, **options}).labels


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_every_rule_finds_people_that_are_far_apart_and_leaves_the_lonely(algorithm):
    features, pids = people(persons=12, each=9, noise=0.4)
    lonely, _ = people(persons=7, each=1, seed=5)
    found = labels(np.concatenate([features, lonely]), algorithm=algorithm)
    assert adjusted_rand_score(pids, found[: len(pids)]) > 0.95
    kept = found[found >= 0]
    first = [int(np.flatnonzero(found == label)[0]) for label in range(kept.max() + 1)]
    assert first == sorted(first)
    if algorithm != "hdbscan":  # which draws strays to the nearest cluster
        assert (found[len(pids) :] == -1).mean() > 0.5


def test_average_linkage_equals_that_on_the_whole_dense_matrix():
    features, _ = people(persons=15, each=6, noise=0.9)
    distance = jaccard_distances(features, nearest(features, 8), **SIZES)
    dense = slow.distances(features, 8, 3)
    np.fill_diagonal(dense, 0)
    for eps in (0.3, 0.55, 0.8):
        tree = linkage(squareform(dense, checks=False), "average")
        wanted = fcluster(tree, eps, "distance")
        assert adjusted_rand_score(agglomerative(distance, eps, 1), wanted) == 1


def test_pairs_beyond_the_radius_can_be_left_out_without_another_result():
    features, _ = people(persons=20, each=6, noise=0.9)
    near = nearest(features, 8)
    whole, part = (jaccard_distances(features, near, **SIZES, most=most) for most in (1.0, 0.5))
    assert part.nnz < whole.nnz
    kept = whole.copy()
    kept.data[kept.data > 0.5] = 0
    kept.eliminate_zeros()
    np.testing.assert_array_equal(part.toarray(), kept.toarray())


@pytest.mark.parametrize("seed", range(8))
def test_permuting_the_images_permutes_the_labels(seed):
    features, _ = people(persons=25, each=7, noise=0.8, seed=seed)
    order = np.random.default_rng(seed).permutation(len(features))
    plain, moved = labels(features), labels(features[order])
    assert adjusted_rand_score(plain[order], moved) == 1
    np.testing.assert_array_equal(plain[order] == -1, moved == -1)


def test_copies_share_a_cluster_and_all_alike_are_one():
    features, _ = people(persons=6, each=8, noise=0.3)
    twice = np.concatenate([features, features])
    found = labels(twice)
    np.testing.assert_array_equal(found[:48], found[48:])
    alike = np.repeat(features[:1], 300, axis=0)  # most are exactly 0.5 apart by the definition
    assert labels(alike).tolist() == [0] * 300


def test_strangers_are_all_outliers():
    features, _ = people(persons=200, each=1, size=128)
    assert (labels(features, min_samples=6) == -1).mean() > 0.9


def test_fewer_images_than_neighbours_and_half_precision_are_no_fault():
    features, pids = people(persons=2, each=6, noise=0.2)
    found = pseudo_labels(features, eps=FixedEps(0.5), k1=30, k2=6)
    assert adjusted_rand_score(pids, found.labels) == 1
    many, _ = people(persons=20, each=8, noise=0.4)
    half = many.astype(np.float16)
    assert adjusted_rand_score(labels(half), labels(many)) == 1


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_nothing_in_common_makes_no_cluster(algorithm):
    found = ALGORITHMS[algorithm].run(sparse.csr_matrix((5, 5), dtype=np.float32), 0.5, 2)
    assert found.tolist() == [-1] * 5


def test_faults_of_features_are_named():
    features, _ = people(persons=3, each=3)
    bad = features.copy()
    bad[[2, 5]] = np.nan
    with pytest.raises(UserError, match=r"2 rows of features are not finite: 2, 5; leave them out"):
        check_features(bad)
    bad = features.copy()
    bad[4] = 0
    with pytest.raises(UserError, match=r"1 rows of features are not of length 1: 4; divide"):
        check_features(bad)
    with pytest.raises(UserError, match="must be float32 or float16, got float64"):
        check_features(features.astype(np.float64))
    with pytest.raises(UserError, match=r"features must be \[N, D\]"):
        check_features(features[:1])
    with pytest.raises(UserError, match="unknown clustering algorithm 'kmeans'; known: dbscan"):
        labels(features, algorithm="kmeans")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k1": 1}, "k1 must be at least 2, got 1"),
        ({"k2": 0}, "k2 must be at least 1, got 0"),
        ({"min_samples": 0}, "min_samples must be at least 1, got 0"),
        ({"eps": None}, "clustering algorithm dbscan needs an eps"),
        ({"algorithm": "hdbscan", "eps": FixedEps(0.5)}, "clustering algorithm hdbscan has no eps"),
    ],
)
def test_faults_of_settings_are_named(options, message):
    features, _ = people(persons=3, each=3)
    with pytest.raises(UserError, match=message):
        labels(features, **options)


@pytest.mark.parametrize("eps", [-0.1, 0.0, 1.0, np.nan])
def test_a_radius_that_makes_no_clusters_is_refused(eps):
    with pytest.raises(UserError, match=r"eps must be in \(0, 1\), got"):
        FixedEps(eps)
    with pytest.raises(UserError, match=r"the share of pairs must be in \(0, 1\), got"):
        ShareEps(eps)
