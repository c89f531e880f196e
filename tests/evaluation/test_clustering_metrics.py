import numpy as np
import pytest

from reid_gen.evaluation.clustering_metrics import clustering_quality


def test_purity_counts_the_most_frequent_pid_of_each_cluster():
    labels = np.array([0, 0, 0, 1, 1, -1])
    pids = np.array([5, 5, 6, 7, 8, 9])
    assert clustering_quality(labels, pids)["purity"] == pytest.approx(3 / 5)


def test_a_perfect_clustering_scores_one_whatever_the_names():
    found = clustering_quality(np.array([1, 1, 0, 0]), np.array([3, 3, 9, 9]))
    assert found == {"nmi": 1.0, "ari": 1.0, "purity": 1.0}


def test_only_outliers_score_zero():
    found = clustering_quality(np.array([-1, -1]), np.array([3, 3]))
    assert found == {"nmi": 0.0, "ari": 0.0, "purity": 0.0}
