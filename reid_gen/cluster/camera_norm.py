"""Per-camera feature standardisation, which reduces camera bias before clustering."""

from __future__ import annotations

import numpy as np

from reid_gen.errors import UserError, join_some
from reid_gen.types import Float32Array, Int64Array

_VARIANCE_EPS = 1e-5
"""Added to the variance, as batch norm does."""


def normalise_per_camera(features: Float32Array, camids: Int64Array) -> Float32Array:
    """Standardise every dimension within each camera, then L2-normalise the rows.

    ``(f - mean_c) / sqrt(var_c + 1e-5)`` with mean and variance over the images of camera c.
    Camera-based batch normalisation (Zhuang et al., ECCV 2020) does this in the layers of a
    network; here it is applied to the final features only.

    Args:
        features: Features, [N, D].
        camids: Camera of each row, [N].

    Returns:
        L2-normalised features, [N, D] float32.

    Raises:
        UserError: If a camera has a single image, whose standardised feature is 0, or if a feature
            equals the mean of its camera.
    """
    cameras, camera_index, counts = np.unique(camids, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise UserError(
            f"camera {join_some(cameras[counts < 2])} (counted from 0) has a single image, and "
            "clustering.camera_norm needs 2 of each; leave that image out, or set "
            "clustering.camera_norm to false"
        )
    normalised = np.empty(features.shape, np.float32)
    for camera in range(len(cameras)):
        rows = camera_index == camera
        in_camera = np.asarray(features[rows], np.float32)
        std = np.sqrt(in_camera.var(axis=0) + _VARIANCE_EPS)
        normalised[rows] = (in_camera - in_camera.mean(axis=0)) / std
    norms = np.linalg.norm(normalised, axis=1, keepdims=True)
    if not norms.all():
        raise UserError(
            f"row {join_some(np.flatnonzero(norms[:, 0] == 0))} equals the mean of its camera, so "
            "its standardised feature is 0; set clustering.camera_norm to false"
        )
    return normalised / norms
