import numpy as np
import pytest

from reid_gen.evaluation.feature_centralisation import (
    centralise_with_neighbours,
    centralise_with_views,
)
from reid_gen.evaluation.ranking import evaluate_ranking
from tests.cluster.features import make_features


def centralise_with_loops(features, k1, k2):
    """Centralise image by image, as in section 3.3 of Pose2ID."""
    similarity = features @ features.T
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1)
    rows = []
    for n, feature in enumerate(features):
        total = feature.astype(np.float64)
        for m in order[n, :k1]:
            if n in order[m, :k2]:
                total = total + features[m]
        rows.append(total / np.linalg.norm(total))
    return np.stack(rows)


@pytest.mark.parametrize(("k1", "k2"), [(2, 2), (4, 1), (1, 3)])
def test_centralise_with_neighbours_equals_loops(k1, k2):
    features, _ = make_features(persons=8, each=5, noise=1.0)
    expected = centralise_with_loops(features, k1, k2)
    actual = centralise_with_neighbours(features, k1, k2)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_centralise_with_neighbours_raises_map_on_clusters():
    features, pids = make_features(persons=30, each=8, noise=1.6)
    query, gallery = features[::4], np.delete(features, np.s_[::4], axis=0)
    gallery_pids = np.delete(pids, np.s_[::4])
    labels = (pids[::4], gallery_pids, np.full(len(query), -1), np.full(len(gallery), -1))
    baseline = evaluate_ranking(query, gallery, *labels)
    centralised = evaluate_ranking(query, centralise_with_neighbours(gallery), *labels)
    assert centralised.mean_ap > baseline.mean_ap


def test_centralise_with_views_adds_weighted_views():
    rng = np.random.default_rng(0)
    features, views = rng.normal(size=(3, 4)), rng.normal(size=(3, 2, 4))
    for n, actual in enumerate(centralise_with_views(features, views, weight=0.5)):
        total = features[n] + 0.5 * (views[n, 0] + views[n, 1])
        np.testing.assert_allclose(actual, total / np.linalg.norm(total), atol=1e-6)
