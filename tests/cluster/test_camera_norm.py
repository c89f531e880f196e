"""Features standardised within cameras."""

import math

import numpy as np
import pytest

from reid_gen.cluster.camera_norm import camera_normalised
from reid_gen.cluster.pseudo_labels import FixedEps, pseudo_labels
from reid_gen.errors import UserError
from reid_gen.evaluation.clustering_metrics import clustering_quality
from tests.cluster.features import people

CAMIDS = np.array([4, 0, 4, 0, 4, 0, 0])


def slow_twin(features, camids):
    """Zhuang et al., ECCV 2020, eq. 3, number by number; then rows of length 1."""
    rows = features.astype(float).tolist()
    normalised = [list(row) for row in rows]
    for camera in set(camids.tolist()):
        own = [n for n, camid in enumerate(camids) if camid == camera]
        for d in range(features.shape[1]):
            mean = sum(rows[n][d] for n in own) / len(own)
            variance = sum((rows[n][d] - mean) ** 2 for n in own) / len(own)
            for n in own:
                normalised[n][d] = (rows[n][d] - mean) / math.sqrt(variance + 1e-5)
    return [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in normalised]


def test_camera_normalised_equals_its_slow_twin():
    features, _ = people(persons=7, each=1, size=5)
    found = camera_normalised(features, CAMIDS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slow_twin(features, CAMIDS), atol=1e-5)


def test_camera_normalised_undoes_a_shift_of_a_camera():
    """Where cameras move features more than people do, clusters are people again."""
    features, pids = people(persons=20, each=8, noise=0.3, seed=1)
    camids = np.tile([0, 1, 2, 3], 40)
    shift = np.random.default_rng(0).standard_normal((4, features.shape[1]))
    moved = features + shift[camids].astype(np.float32)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    options = {"eps": FixedEps(0.5), "k1": 8, "k2": 3, "min_samples": 3}
    plain = pseudo_labels(moved, **options).labels
    normalised = pseudo_labels(moved, camids=camids, **options).labels
    assert clustering_quality(plain, pids)["ari"] < 0.5
    assert clustering_quality(normalised, pids)["ari"] > 0.95


def test_camera_normalised_refuses_a_camera_of_one():
    features, _ = people(persons=3, each=1)
    with pytest.raises(UserError, match=r"camera 7 \(counted from 0\) has a single image"):
        camera_normalised(features, np.array([1, 7, 1]))


def test_camera_normalised_refuses_copies():
    features = np.tile(np.eye(1, 4, dtype=np.float32), (3, 1))
    with pytest.raises(UserError, match="row 0, 1, 2 is the mean of its camera"):
        camera_normalised(features, np.zeros(3, np.int64))
