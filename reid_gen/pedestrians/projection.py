"""Perspective projection of a body by a surveillance camera, fitted to a bounding box."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reid_gen.types import Float32Array


@dataclass(frozen=True)
class Framing:
    """Viewpoint of the camera, and position and scale of a person in the bounding box.

    Attributes:
        yaw: Rotation of the person about the vertical axis in radians; 0 faces the camera.
        pitch: Downward tilt of the camera in radians.
        distance: Distance from the camera in metres.
        fill: Height of the person relative to that of the box; above 1 the person is cut off.
        x: Shift to the right relative to the width of the box.
        y: Shift down relative to the height of the box.
    """

    yaw: float
    pitch: float
    distance: float
    fill: float
    x: float
    y: float


@dataclass(frozen=True)
class Projection:
    """Perspective projection from body coordinates to pixels.

    Attributes:
        rotation: Rotation matrix from body to camera coordinates (x right, y up, z to the camera),
            [3, 3].
        centre: Look-at point in body coordinates, [3].
        distance: Distance from the camera to the look-at point in metres.
        scale: Pixels per metre at that distance.
        offset: Pixel (x, y) of the look-at point, [2].
    """

    rotation: Float32Array
    centre: Float32Array
    distance: float
    scale: float
    offset: Float32Array

    def turned(self, radians: float) -> Projection:
        """Return this projection of the body turned to its left about its vertical axis."""
        return replace(self, rotation=self.rotation @ _rotation_y(radians))

    def project(self, points: Float32Array) -> Float32Array:
        """Project points [..., 3] to pixels (x, y) and depth in metres, [..., 3]."""
        in_camera = (points - self.centre) @ self.rotation.T
        depth = self.distance - in_camera[..., 2]
        magnification = self.distance / depth
        x = self.offset[0] + self.scale * in_camera[..., 0] * magnification
        y = self.offset[1] - self.scale * in_camera[..., 1] * magnification
        return np.stack([x, y, depth], axis=-1).astype(np.float32)


def fit_to_box(vertices: Float32Array, framing: Framing, height: int, width: int) -> Projection:
    """Compute the projection that fits a body into a bounding box.

    Args:
        vertices: Vertices of the posed body in metres, [V, 3].
        framing: Viewpoint, position and scale.
        height: Height of the box in pixels.
        width: Width of the box in pixels.

    Returns:
        The projection; wide poses are scaled down so that at most a quarter of their width is cut
        off.
    """
    rotation = _rotation_x(framing.pitch) @ _rotation_y(framing.yaw)
    centre = (vertices.min(0) + vertices.max(0)) / 2
    unit = Projection(rotation, centre, framing.distance, 1.0, np.zeros(2, np.float32))
    points = unit.project(vertices)[:, :2]
    low, high = points.min(0), points.max(0)
    scale = min(height * framing.fill / (high[1] - low[1]), 1.35 * width / (high[0] - low[0]))
    target = np.array([width * (0.5 + framing.x), height * (0.5 + framing.y)])
    offset = (target - scale * (low + high) / 2).astype(np.float32)
    return Projection(rotation, centre, framing.distance, float(scale), offset)


def fit_weak_perspective(
    projection: Projection, joints: Float32Array, height: int, width: int
) -> Float32Array:
    """Fit a weak-perspective camera to a perspective projection of the joints (least squares).

    Args:
        projection: Perspective projection.
        joints: Joints in body coordinates, [24, 3]; the first is the pelvis.
        height: Height of the box in pixels.
        width: Width of the box in pixels.

    Returns:
        Scale, x and y in half heights of the box, [3], for joints that are rotated to camera
        coordinates about the pelvis.
    """
    centre = np.array([width / 2, height / 2])
    target = (projection.project(joints)[:, :2] - centre) / (height / 2)
    source = ((joints - joints[0]) @ projection.rotation.T)[:, :2] * np.array([1, -1])
    centred = source - source.mean(0)
    scale = (centred * (target - target.mean(0))).sum() / (centred**2).sum()
    shift = target.mean(0) - scale * source.mean(0)
    return np.array([scale, *shift], dtype=np.float32)


def _rotation_y(angle: float) -> Float32Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=np.float32)


def _rotation_x(angle: float) -> Float32Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=np.float32)
