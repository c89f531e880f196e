"""Features in which cameras differ less, for clustering across cameras."""

from __future__ import annotations

import numpy as np

from reid_gen.errors import UserError, join_some
from reid_gen.types import Float32Array, Int64Array

_LEAST_SPREAD = 1e-5
"""Added to the variance, as batch norm does."""


def camera_normalised(features: Float32Array, camids: Int64Array) -> Float32Array:
    """Standardise every dimension within each camera, then bring rows to length 1.

    ``(f - mean_c) / sqrt(var_c + 1e-5)`` with mean and variance over the images of camera c: what
    camera-based batch normalisation does to a network's layers (Zhuang et al., ECCV 2020), here to
    finished features only.

    Args:
        features: [N, D].
        camids: Camera of each row, [N].

    Returns:
        Unit rows, [N, D] float32.

    Raises:
        UserError: If a camera has a single image, whose standardised feature is 0.
    """
    cameras, place, counts = np.unique(camids, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise UserError(
            f"camera {join_some(cameras[counts < 2])} (counted from 0) has a single image, and "
            "clustering.camera_norm needs 2 of each; leave that image out, or set "
            "clustering.camera_norm to false"
        )
    normalised = np.empty(features.shape, np.float32)
    for camera in range(len(cameras)):
        rows = place == camera
        own = np.asarray(features[rows], np.float32)
        normalised[rows] = (own - own.mean(axis=0)) / np.sqrt(own.var(axis=0) + _LEAST_SPREAD)
    lengths = np.linalg.norm(normalised, axis=1, keepdims=True)
    if not lengths.all():
        raise UserError(
            f"row {join_some(np.flatnonzero(lengths[:, 0] == 0))} is the mean of its camera, so "
            "that nothing is left of it; set clustering.camera_norm to false"
        )
    return normalised / lengths
