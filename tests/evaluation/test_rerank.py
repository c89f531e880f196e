import numpy as np
import pytest

from reid_gen.evaluation.ranking import evaluate_distances, evaluate_ranking
from reid_gen.evaluation.rerank import rerank
from tests.cluster.features import make_features
from tests.reference.jaccard import rerank as slow_rerank


@pytest.mark.parametrize(("k1", "k2"), [(8, 3), (6, 1), (4, 7)])
def test_rerank_equals_dense_definition(k1, k2):
    features, _ = make_features(persons=12, each=6, noise=0.8)
    query, gallery = features[::4], np.delete(features, np.s_[::4], axis=0)
    actual = rerank(query, gallery, k1=k1, k2=k2, weight=0.3)
    np.testing.assert_allclose(actual, slow_rerank(query, gallery, k1, k2, 0.3), atol=5e-6)


@pytest.mark.parametrize("k2", [1, 3])
def test_rerank_keeps_gallery_order_among_copies(k2):
    features, _ = make_features(persons=6, each=6, noise=0.8)
    features[3:12] = features[0]  # more copies than neighbours
    query, gallery = features[::4], np.delete(features, np.s_[::4], axis=0)
    actual = rerank(query, gallery, k1=5, k2=k2, weight=0.3)
    np.testing.assert_allclose(actual, slow_rerank(query, gallery, 5, k2, 0.3), atol=5e-6)


def test_rerank_supports_100_neighbours():
    features, _ = make_features(persons=40, each=6, noise=0.8)
    actual = rerank(features[::4], features[1::4], k1=100, k2=6, weight=0.3)
    expected = slow_rerank(features[::4], features[1::4], 100, 6, 0.3)
    np.testing.assert_allclose(actual, expected, atol=5e-6)


def test_rerank_raises_map_on_clustered_features():
    features, pids = make_features(persons=30, each=8, noise=1.6)
    query, gallery = slice(0, None, 4), np.arange(240) % 4 != 0
    camids = np.full(240, -1)
    labels = (pids[query], pids[gallery], camids[query], camids[gallery])
    baseline = evaluate_ranking(features[query], features[gallery], *labels)
    reranked = evaluate_distances(
        rerank(features[query], features[gallery]), *labels, reranking="zhong"
    )
    assert reranked.mean_ap > baseline.mean_ap
    assert reranked.as_dict()["reranking"] == "zhong"
