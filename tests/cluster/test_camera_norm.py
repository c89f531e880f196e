"""Per-camera feature standardisation."""

import math

import numpy as np
import pytest

from reid_gen.cluster.camera_norm import normalise_per_camera
from reid_gen.cluster.pseudo_labels import FixedEps, pseudo_labels
from reid_gen.errors import UserError
from reid_gen.evaluation.clustering_metrics import clustering_quality
from tests.cluster.features import make_features

CAMIDS = np.array([4, 0, 4, 0, 4, 0, 0])


def reference(features, camids):
    """Zhuang et al., ECCV 2020, eq. 3, with scalar loops; then L2-normalised rows."""
    rows = features.astype(float).tolist()
    normalised = [list(row) for row in rows]
    for camera in set(camids.tolist()):
        in_camera = [n for n, camid in enumerate(camids) if camid == camera]
        for d in range(features.shape[1]):
            mean = sum(rows[n][d] for n in in_camera) / len(in_camera)
            variance = sum((rows[n][d] - mean) ** 2 for n in in_camera) / len(in_camera)
            for n in in_camera:
                normalised[n][d] = (rows[n][d] - mean) / math.sqrt(variance + 1e-5)
    return [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in normalised]


def test_normalise_per_camera_equals_the_reference():
    features, _ = make_features(persons=7, each=1, size=5)
    result = normalise_per_camera(features, CAMIDS)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, reference(features, CAMIDS), atol=1e-5)


def test_normalise_per_camera_undoes_camera_shifts():
    """Clusters are people again where camera shifts are larger than differences of people."""
    features, pids = make_features(persons=20, each=8, noise=0.3, seed=1)
    camids = np.tile([0, 1, 2, 3], 40)
    shift = np.random.default_rng(0).standard_normal((4, features.shape[1]))
    shifted = features + shift[camids].astype(np.float32)
    shifted /= np.linalg.norm(shifted, axis=1, keepdims=True)
    options = {"eps": FixedEps(0.5), "k1": 8, "k2": 3, "min_samples": 3}
    unnormalised = pseudo_labels(shifted, **options).labels
    normalised = pseudo_labels(shifted, camids=camids, **options).labels
    assert clustering_quality(unnormalised, pids)["ari"] < 0.5
    assert clustering_quality(normalised, pids)["ari"] > 0.95


def test_normalise_per_camera_refuses_a_single_image():
    features, _ = make_features(persons=3, each=1)
    with pytest.raises(UserError, match=r"camera 7 \(counted from 0\) has a single image"):
        normalise_per_camera(features, np.array([1, 7, 1]))


def test_normalise_per_camera_refuses_duplicates():
    features = np.tile(np.eye(1, 4, dtype=np.float32), (3, 1))
    with pytest.raises(UserError, match="row 0, 1, 2 equals the mean of its camera"):
        normalise_per_camera(features, np.zeros(3, np.int64))
