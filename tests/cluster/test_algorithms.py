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
from tests.cluster.features import make_features
from tests.reference import jaccard as reference

SIZES = {"k1": 8, "k2": 3}


def cluster(features, **options):
    """Pseudo labels with eps 0.5 and few neighbours."""
    eps = None if options.get("algorithm") == "hdbscan" else FixedEps(0.5)
    return pseudo_labels(features, **{"eps": eps, **SIZES, **options}).labels


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_algorithms_cluster_separated_people_only(algorithm):
    features, pids = make_features(persons=12, each=9, noise=0.4)
    single, _ = make_features(persons=7, each=1, seed=5)
    labels = cluster(np.concatenate([features, single]), algorithm=algorithm)
    assert adjusted_rand_score(pids, labels[: len(pids)]) > 0.95
    first = [int(np.flatnonzero(labels == label)[0]) for label in range(labels.max() + 1)]
    assert first == sorted(first)
    if algorithm != "hdbscan":  # it adds single images to the nearest cluster
        assert (labels[len(pids) :] == -1).mean() > 0.5


def test_agglomerative_equals_scipy_on_the_dense_matrix():
    features, _ = make_features(persons=15, each=6, noise=0.9)
    distance = jaccard_distances(features, nearest(features, 8), **SIZES)
    dense = reference.distances(features, 8, 3)
    np.fill_diagonal(dense, 0)
    for eps in (0.3, 0.55, 0.8):
        tree = linkage(squareform(dense, checks=False), "average")
        expected = fcluster(tree, eps, "distance")
        assert adjusted_rand_score(agglomerative(distance, eps, 1), expected) == 1


def test_jaccard_distances_keep_pairs_up_to_max_distance():
    features, _ = make_features(persons=20, each=6, noise=0.9)
    neighbours = nearest(features, 8)
    full, truncated = (
        jaccard_distances(features, neighbours, **SIZES, max_distance=limit) for limit in (1.0, 0.5)
    )
    assert truncated.nnz < full.nnz
    expected = full.copy()
    expected.data[expected.data > 0.5] = 0
    expected.eliminate_zeros()
    np.testing.assert_array_equal(truncated.toarray(), expected.toarray())


@pytest.mark.parametrize("seed", range(8))
def test_pseudo_labels_are_permuted_with_the_images(seed):
    features, _ = make_features(persons=25, each=7, noise=0.8, seed=seed)
    order = np.random.default_rng(seed).permutation(len(features))
    labels, permuted = cluster(features), cluster(features[order])
    assert adjusted_rand_score(labels[order], permuted) == 1
    np.testing.assert_array_equal(labels[order] == -1, permuted == -1)


def test_pseudo_labels_put_duplicates_in_one_cluster():
    features, _ = make_features(persons=6, each=8, noise=0.3)
    labels = cluster(np.concatenate([features, features]))
    np.testing.assert_array_equal(labels[:48], labels[48:])
    # By the definition, most pairs of these 300 duplicates are exactly 0.5 apart.
    duplicates = np.repeat(features[:1], 300, axis=0)
    assert cluster(duplicates).tolist() == [0] * 300


def test_pseudo_labels_of_single_images_are_outliers():
    features, _ = make_features(persons=200, each=1, size=128)
    assert (cluster(features, min_samples=6) == -1).mean() > 0.9


def test_pseudo_labels_accept_few_images_and_float16():
    features, pids = make_features(persons=2, each=6, noise=0.2)
    result = pseudo_labels(features, eps=FixedEps(0.5), k1=30, k2=6)
    assert adjusted_rand_score(pids, result.labels) == 1
    features, _ = make_features(persons=20, each=8, noise=0.4)
    assert adjusted_rand_score(cluster(features.astype(np.float16)), cluster(features)) == 1


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_algorithms_return_outliers_without_stored_pairs(algorithm):
    labels = ALGORITHMS[algorithm].run(sparse.csr_matrix((5, 5), dtype=np.float32), 0.5, 2)
    assert labels.tolist() == [-1] * 5


def test_check_features_names_the_problem():
    features, _ = make_features(persons=3, each=3)
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
        cluster(features, algorithm="kmeans")


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
def test_pseudo_labels_name_the_bad_argument(options, message):
    features, _ = make_features(persons=3, each=3)
    with pytest.raises(UserError, match=message):
        cluster(features, **options)


@pytest.mark.parametrize("eps", [-0.1, 0.0, 1.0, np.nan])
def test_eps_rules_refuse_values_outside_0_to_1(eps):
    with pytest.raises(UserError, match=r"eps must be in \(0, 1\), got"):
        FixedEps(eps)
    with pytest.raises(UserError, match=r"the share of pairs must be in \(0, 1\), got"):
        ShareEps(eps)
