import numpy as np
import pytest

from reid_gen.cluster.jaccard import jaccard_distances
from reid_gen.cluster.knn.neighbours import nearest
from tests.cluster.features import people
from tests.reference import jaccard as slow


def dense(sparse_distance):
    full = sparse_distance.toarray().astype(np.float64)
    stored = sparse_distance.copy()
    stored.data[:] = 1
    full[stored.toarray() == 0] = 1
    np.fill_diagonal(full, 0)
    return full


@pytest.mark.parametrize("counts_self", [True, False])
@pytest.mark.parametrize(("k1", "k2"), [(8, 3), (10, 1), (6, 4), (4, 8)])
def test_distances_equal_the_dense_definition(k1, k2, counts_self):
    features, _ = people(persons=12, each=7)
    neighbours = nearest(features, max(k1 if counts_self else k1 + 1, k2))
    found = jaccard_distances(features, neighbours, k1=k1, k2=k2, counts_self=counts_self)
    expected = slow.distances(features, k1, k2, counts_self)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(dense(found), expected, atol=2e-6)


def test_nearest_equals_brute_force_and_starts_with_the_image_itself():
    features, _ = people(persons=10, each=5)
    found = nearest(features, 9)
    np.testing.assert_array_equal(found.index, slow.nearest(features.astype(np.float64), 9))
    np.testing.assert_allclose(
        found.similarity, np.take_along_axis(features @ features.T, found.index, 1), atol=1e-6
    )


def test_an_image_comes_first_even_among_exact_copies():
    features = np.repeat(people(persons=3, each=1)[0], 6, axis=0)
    found = nearest(features, 4)
    np.testing.assert_array_equal(found.index[:, 0], np.arange(18))
    assert all(len(set(row)) == 4 for row in found.index.tolist())


def test_fewer_images_than_neighbours_is_no_fault():
    features, _ = people(persons=2, each=3)
    found = jaccard_distances(features, nearest(features, 30), k1=30, k2=6)
    expected = slow.distances(features, 30, 6)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(dense(found), expected, atol=2e-6)
