"""How a surveillance camera sees a body: perspective, from above, fitted into a box."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reid_gen.types import Float32Array


@dataclass(frozen=True)
class Framing:
    """Where a person stands before the camera and in the box.

    Attributes:
        yaw: Turn of the person about the vertical axis in radians; 0 faces the camera.
        pitch: How far the camera looks down, radians.
        distance: Metres from the camera.
        fill: Height of the person as a share of the box; over 1 is cut off.
        x: Shift to the right as a share of the width.
        y: Shift down as a share of the height.
    """

    yaw: float
    pitch: float
    distance: float
    fill: float
    x: float
    y: float


@dataclass(frozen=True)
class View:
    """A projection from body coordinates to pixels.

    Attributes:
        rotation: From body to camera coordinates (x right, y up, z to the camera), [3, 3].
        centre: Point of the body that is looked at, [3].
        distance: Metres from the camera to it.
        scale: Pixels per metre at that distance.
        offset: Pixel of that point, (x, y), [2].
    """

    rotation: Float32Array
    centre: Float32Array
    distance: float
    scale: float
    offset: Float32Array

    def turned(self, radians: float) -> View:
        """The same camera with the body turned to its left about its vertical axis."""
        return replace(self, rotation=self.rotation @ _turn(radians))

    def screen(self, points: Float32Array) -> Float32Array:
        """Project points [..., 3] to (x, y) in pixels and depth in metres, [..., 3]."""
        seen = (points - self.centre) @ self.rotation.T
        depth = self.distance - seen[..., 2]
        nearer = self.distance / depth
        across = self.offset[0] + self.scale * seen[..., 0] * nearer
        down = self.offset[1] - self.scale * seen[..., 1] * nearer
        return np.stack([across, down, depth], axis=-1).astype(np.float32)


def frame(vertices: Float32Array, framing: Framing, height: int, width: int) -> View:
    """The view that fits a body into a box.

    Args:
        vertices: Of the body, [V, 3] metres.
        framing: Where it stands.
        height: Of the box in pixels.
        width: Of the box in pixels.

    Returns:
        The view; wide poses are made smaller so that at most a quarter of them is cut off.
    """
    rotation = _tilt(framing.pitch) @ _turn(framing.yaw)
    centre = (vertices.min(0) + vertices.max(0)) / 2
    plain = View(rotation, centre, framing.distance, 1.0, np.zeros(2, np.float32))
    seen = plain.screen(vertices)[:, :2]
    low, high = seen.min(0), seen.max(0)
    scale = min(height * framing.fill / (high[1] - low[1]), 1.35 * width / (high[0] - low[0]))
    place = np.array([width * (0.5 + framing.x), height * (0.5 + framing.y)])
    offset = (place - scale * (low + high) / 2).astype(np.float32)
    return View(rotation, centre, framing.distance, float(scale), offset)


def weak_camera(view: View, joints: Float32Array, height: int, width: int) -> Float32Array:
    """The weak-perspective camera that fits a view best at the joints (least squares).

    Args:
        view: Perspective.
        joints: In body coordinates, [24, 3]; the first is the pelvis.
        height: Of the box in pixels.
        width: Of the box in pixels.

    Returns:
        Scale, x and y in half heights, [3], for joints turned into camera coordinates about the
        pelvis.
    """
    middle = np.array([width / 2, height / 2])
    wanted = (view.screen(joints)[:, :2] - middle) / (height / 2)
    flat = ((joints - joints[0]) @ view.rotation.T)[:, :2] * np.array([1, -1])
    spread = flat - flat.mean(0)
    scale = (spread * (wanted - wanted.mean(0))).sum() / (spread**2).sum()
    shift = wanted.mean(0) - scale * flat.mean(0)
    return np.array([scale, *shift], dtype=np.float32)


def _turn(angle: float) -> Float32Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=np.float32)


def _tilt(angle: float) -> Float32Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=np.float32)
