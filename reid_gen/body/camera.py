"""Weak-perspective camera of human mesh recovery, and rotation of bodies in camera coordinates."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from reid_gen.types import Float32Array, Int64Array


def project(
    points: Float32Array,
    camera: Float32Array,
    height: int,
    width: int,
    size: Int64Array | None = None,
) -> Float32Array:
    """Project body coordinates to pixels with a weak-perspective camera.

    In the camera's own image of h x w pixels, ``x = w / 2 + h / 2 (s X + t_x)`` and
    ``y = h / 2 + h / 2 (t_y - s Y)``. The result is then rescaled to ``height`` x ``width``.

    Args:
        points: Points relative to the pelvis in metres, y up, +z towards the camera, [B, V, 3].
        camera: Scale s and translation (t_x, t_y) in half heights of the camera's image, [B, 3].
        height: Height of the output image in pixels.
        width: Width of the output image in pixels.
        size: Height and width of the camera's image in pixels, [B, 2]; None if it has the size of
            the output image.

    Returns:
        x and y in pixels and depth in metres (smaller is nearer), [B, V, 3].
    """
    h, w = (height, width) if size is None else (size[:, :1], size[:, 1:])
    half_height = np.asarray(h) / 2
    s, t_x, t_y = camera[:, :1], camera[:, 1:2], camera[:, 2:]
    x = np.asarray(w) / 2 + half_height * (s * points[..., 0] + t_x)
    y = half_height + half_height * (t_y - s * points[..., 1])
    pixels = (x * (width / np.asarray(w)), y * (height / np.asarray(h)))
    return np.stack([*pixels, -points[..., 2]], axis=-1).astype(np.float32)


def rotate_bodies(
    points: Float32Array, degrees: Float32Array, up: Float32Array | None = None
) -> Float32Array:
    """Rotate bodies about vertical axes through their centroids; the camera does not move.

    A person who walks to the left of the image faces the camera after a rotation by 90 degrees,
    walks to the right at 180 and shows their back at 270, as in GCL (Chen et al., CVPR 2021).

    Args:
        points: Points of each body, y up, +z towards the camera, [B, V, 3].
        degrees: Rotation angle of each body, [B].
        up: Unit rotation axes, [B, 3]; None for the image's vertical, as in GCL. With a camera that
            looks down, rotation about the image's vertical tilts bodies sideways.

    Returns:
        Rotated points, [B, V, 3].
    """
    axis = np.tile([0.0, 1.0, 0.0], (len(points), 1)) if up is None else up
    angle = np.deg2rad(np.asarray(degrees, dtype=np.float64))[:, None]
    rotation = Rotation.from_rotvec(axis * angle).as_matrix()
    centroid = points.mean(1, keepdims=True)
    rotated = np.einsum("bij,bvj->bvi", rotation.astype(np.float32), points - centroid)
    return (rotated + centroid).astype(np.float32)


def pelvis_up_axis(pose: Float32Array) -> Float32Array:
    """Return each pelvis' up axis in camera coordinates, vertical for standing people, [B, 3].

    Args:
        pose: Rotation vectors, root first and into camera coordinates, [B, 24, 3].
    """
    return Rotation.from_rotvec(pose[:, 0]).apply([0.0, 1.0, 0.0]).astype(np.float32)
