import numpy as np
import pytest

from reid_gen.evaluation.feature_centralisation import by_neighbours, by_views
from reid_gen.evaluation.ranking import evaluate_ranking
from tests.cluster.features import make_features


def slow_neighbours(features, k1, k2):
    """Pose2ID, section 3.3, image by image."""
    similarity = features @ features.T
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1)
    found = []
    for n, feature in enumerate(features):
        total = feature.astype(np.float64)
        for m in order[n, :k1]:
            if n in order[m, :k2]:
                total = total + features[m]
        found.append(total / np.linalg.norm(total))
    return np.stack(found)


@pytest.mark.parametrize(("k1", "k2"), [(2, 2), (4, 1), (1, 3)])
def test_neighbours_equal_the_loop(k1, k2):
    features, _ = make_features(persons=8, each=5, noise=1.0)
    wanted = slow_neighbours(features, k1, k2)
    np.testing.assert_allclose(by_neighbours(features, k1, k2), wanted, atol=1e-5)


def test_neighbours_help_on_features_with_groups():
    features, pids = make_features(persons=30, each=8, noise=1.6)
    query, gallery = features[::4], np.delete(features, np.s_[::4], axis=0)
    rest = np.delete(pids, np.s_[::4])
    labels = (pids[::4], rest, np.full(len(query), -1), np.full(len(gallery), -1))
    plain = evaluate_ranking(query, gallery, *labels)
    better = evaluate_ranking(query, by_neighbours(gallery), *labels)
    assert better.mean_ap > plain.mean_ap


def test_views_are_added_with_their_weight():
    rng = np.random.default_rng(0)
    features, views = rng.normal(size=(3, 4)), rng.normal(size=(3, 2, 4))
    for n, found in enumerate(by_views(features, views, weight=0.5)):
        total = features[n] + 0.5 * (views[n, 0] + views[n, 1])
        np.testing.assert_allclose(found, total / np.linalg.norm(total), atol=1e-6)
