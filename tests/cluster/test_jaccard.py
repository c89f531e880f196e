import numpy as np
import pytest

from reid_gen.cluster.jaccard import jaccard_distances
from reid_gen.cluster.knn.neighbours import nearest
from tests.cluster.features import make_features
from tests.reference import jaccard as reference


def to_dense(sparse_distance):
    """Dense distances: 1 where no pair is stored, 0 on the diagonal."""
    full = sparse_distance.toarray().astype(np.float64)
    stored = sparse_distance.copy()
    stored.data[:] = 1
    full[stored.toarray() == 0] = 1
    np.fill_diagonal(full, 0)
    return full


@pytest.mark.parametrize("counts_self", [True, False])
@pytest.mark.parametrize(("k1", "k2"), [(8, 3), (10, 1), (6, 4), (4, 8)])
def test_jaccard_distances_equal_the_dense_reference(k1, k2, counts_self):
    features, _ = make_features(persons=12, each=7)
    neighbours = nearest(features, max(k1 if counts_self else k1 + 1, k2))
    distance = jaccard_distances(features, neighbours, k1=k1, k2=k2, counts_self=counts_self)
    expected = reference.distances(features, k1, k2, counts_self)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(to_dense(distance), expected, atol=2e-6)


def test_nearest_equals_brute_force():
    features, _ = make_features(persons=10, each=5)
    result = nearest(features, 9)
    np.testing.assert_array_equal(result.index, reference.nearest(features.astype(np.float64), 9))
    similarity = np.take_along_axis(features @ features.T, result.index, 1)
    np.testing.assert_allclose(result.similarity, similarity, atol=1e-6)


def test_nearest_puts_the_image_itself_before_duplicates():
    features = np.repeat(make_features(persons=3, each=1)[0], 6, axis=0)
    index = nearest(features, 4).index
    np.testing.assert_array_equal(index[:, 0], np.arange(18))
    assert all(len(set(row)) == 4 for row in index.tolist())


def test_jaccard_distances_accept_fewer_images_than_k1():
    features, _ = make_features(persons=2, each=3)
    distance = jaccard_distances(features, nearest(features, 30), k1=30, k2=6)
    expected = reference.distances(features, 30, 6)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(to_dense(distance), expected, atol=2e-6)
