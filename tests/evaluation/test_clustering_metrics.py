import numpy as np
import pytest

from reid_gen.evaluation.clustering_metrics import clustering_quality


def test_clustering_quality_purity_counts_majority_pids():
    labels = np.array([0, 0, 0, 1, 1, -1])
    pids = np.array([5, 5, 6, 7, 8, 9])
    assert clustering_quality(labels, pids)["purity"] == pytest.approx(3 / 5)


def test_clustering_quality_ignores_label_names():
    quality = clustering_quality(np.array([1, 1, 0, 0]), np.array([3, 3, 9, 9]))
    assert quality == {"nmi": 1.0, "ari": 1.0, "purity": 1.0}


def test_clustering_quality_of_outliers_only_is_zero():
    quality = clustering_quality(np.array([-1, -1]), np.array([3, 3]))
    assert quality == {"nmi": 0.0, "ari": 0.0, "purity": 0.0}
