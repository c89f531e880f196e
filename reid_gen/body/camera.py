"""The weak-perspective camera of mesh recovery, and turning a body before it."""

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
    """From body coordinates to pixels.

    ``x = w / 2 + h / 2 (s X + t_x)`` and ``y = h / 2 + h / 2 (t_y - s Y)`` in the image of h x w
    pixels that the camera belongs to, which is then stretched to ``height`` x ``width``.

    Args:
        points: Relative to the pelvis, y up, +z towards the camera, [B, V, 3] metres.
        camera: Scale s and shift (t_x, t_y) in half heights of the image, [B, 3].
        height: Of the picture to draw in pixels.
        width: Of the picture to draw in pixels.
        size: Rows and columns of the image that the camera belongs to, [B, 2]; None: those of the
            picture.

    Returns:
        x and y in pixels and depth in metres (smaller is nearer), [B, V, 3].
    """
    rows, columns = (height, width) if size is None else (size[:, :1], size[:, 1:])
    half = np.asarray(rows) / 2
    across = np.asarray(columns) / 2 + half * (camera[:, :1] * points[..., 0] + camera[:, 1:2])
    down = half + half * (camera[:, 2:] - camera[:, :1] * points[..., 1])
    pixels = (across * (width / np.asarray(columns)), down * (height / np.asarray(rows)))
    return np.stack([*pixels, -points[..., 2]], axis=-1).astype(np.float32)


def turned(
    points: Float32Array, degrees: Float32Array, up: Float32Array | None = None
) -> Float32Array:
    """Turn bodies about upright axes through their centroids; the camera stays.

    Somebody who walks to the left of the picture faces the camera at 90, walks to the right at 180
    and turns their back at 270, as in the pictures of GCL (Chen et al., CVPR 2021).

    Args:
        points: y up, +z towards the camera, [B, V, 3].
        degrees: Per body, [B].
        up: Unit axes, [B, 3]. None takes the picture's vertical, as GCL does: before a camera that
            looks down, bodies then lean to the side when they are turned.

    Returns:
        Turned points, [B, V, 3].
    """
    axis = np.tile([0.0, 1.0, 0.0], (len(points), 1)) if up is None else up
    angle = np.deg2rad(np.asarray(degrees, dtype=np.float64))[:, None]
    rotation = Rotation.from_rotvec(axis * angle).as_matrix()
    centre = points.mean(1, keepdims=True)
    around = np.einsum("bij,bvj->bvi", rotation.astype(np.float32), points - centre)
    return (around + centre).astype(np.float32)


def upright(pose: Float32Array) -> Float32Array:
    """The axis of each body's pelvis, which walkers and standing people hold upright, [B, 3].

    Args:
        pose: Rotation vectors, root first and into camera coordinates, [B, 24, 3].
    """
    return Rotation.from_rotvec(pose[:, 0]).apply([0.0, 1.0, 0.0]).astype(np.float32)
