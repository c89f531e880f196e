import numpy as np
import pytest

from reid_gen.evaluation.ranking import evaluate_distances, evaluate_ranking
from reid_gen.evaluation.rerank import rerank
from tests.cluster.features import make_features
from tests.reference.jaccard import rerank as slow_rerank


@pytest.mark.parametrize(("k1", "k2"), [(8, 3), (6, 1), (4, 7)])
def test_it_equals_the_dense_definition(k1, k2):
    features, _ = make_features(persons=12, each=6, noise=0.8)
    query, gallery = features[::4], np.delete(features, np.s_[::4], axis=0)
    found = rerank(query, gallery, k1=k1, k2=k2, weight=0.3)
    np.testing.assert_allclose(found, slow_rerank(query, gallery, k1, k2, 0.3), atol=5e-6)


@pytest.mark.parametrize("k2", [1, 3])
def test_copies_count_in_their_order(k2):
    features, _ = make_features(persons=6, each=6, noise=0.8)
    features[3:12] = features[0]  # more copies than neighbours
    query, gallery = features[::4], np.delete(features, np.s_[::4], axis=0)
    found = rerank(query, gallery, k1=5, k2=k2, weight=0.3)
    np.testing.assert_allclose(found, slow_rerank(query, gallery, 5, k2, 0.3), atol=5e-6)


def test_more_neighbours_than_usual_are_found_too():
    features, _ = make_features(persons=40, each=6, noise=0.8)
    found = rerank(features[::4], features[1::4], k1=100, k2=6, weight=0.3)
    wanted = slow_rerank(features[::4], features[1::4], 100, 6, 0.3)
    np.testing.assert_allclose(found, wanted, atol=5e-6)


def test_it_helps_on_features_with_groups():
    features, pids = make_features(persons=30, each=8, noise=1.6)
    query, gallery = slice(0, None, 4), np.arange(240) % 4 != 0
    camids = np.full(240, -1)
    labels = (pids[query], pids[gallery], camids[query], camids[gallery])
    plain = evaluate_ranking(features[query], features[gallery], *labels)
    better = evaluate_distances(
        rerank(features[query], features[gallery]), *labels, reranking="zhong"
    )
    assert better.mean_ap > plain.mean_ap
    assert better.as_dict()["reranking"] == "zhong"
