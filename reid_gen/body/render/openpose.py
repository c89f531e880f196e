"""OpenPose skeletons of bodies, the control images of pose-conditioned diffusion models."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from reid_gen.body.arrays import JOINTS, BodyArrays
from reid_gen.body.render.map_kinds import Mesh
from reid_gen.types import Float32Array, Int64Array, Uint8Array

KEYPOINTS = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
"""OpenPose's 18 body keypoints in its order (Cao et al., TPAMI 2019)."""
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12),
    (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
FACE_OFFSETS = {"nose": (0.0, 0.0), "right_eye": (-0.032, 0.035), "left_eye": (0.032, 0.035)}
"""Offsets from the tip of the nose in metres: to the person's left, upwards."""
MIN_FACING = {"nose": -0.3, "eye": 0.0, "ear": -0.5}
"""Smallest cosine between a visible facial keypoint's direction from the head's centre and the
direction to the camera; noses and ears protrude, so they stay visible beyond 90 degrees."""
COLOURS = tuple(
    tuple(round(255 * value) for value in colorsys.hsv_to_rgb(n / len(KEYPOINTS), 1, 1))
    for n in range(len(KEYPOINTS))
)
LIMB_BRIGHTNESS = 0.6
"""Brightness of limbs relative to keypoints."""
RADIUS = 4 / 512
"""Radius of keypoints and half the thickness of limbs, as a fraction of the image height."""


def openpose_keypoints(mesh: Mesh, arrays: BodyArrays) -> tuple[Float32Array, NDArray[np.bool_]]:
    """Compute OpenPose's keypoints of bodies and their visibility.

    Body keypoints are the body model's joints, the neck is the midpoint of the shoulders, and
    facial keypoints are visible on the camera's side of the head. Source: own.

    Args:
        mesh: Meshes of B bodies.
        arrays: Arrays of their body model.

    Returns:
        x and y in pixels, [B, 18, 2], and visibility, [B, 18].
    """
    joints = np.einsum("jv,bvc->bjc", arrays.joint_regressor, mesh.screen[..., :2])
    position = {name: joints[:, n] for n, name in enumerate(JOINTS)}
    position["neck"] = (position["left_shoulder"] + position["right_shoulder"]) / 2
    face_vertices = _face_vertices(arrays)
    for name, vertex in face_vertices.items():
        position[name] = mesh.screen[:, vertex, :2]
    ears = [face_vertices["left_ear"], face_vertices["right_ear"]]
    head_centre = mesh.vertices[:, ears].mean(1)
    visible = np.ones((len(joints), len(KEYPOINTS)), bool)
    for name, vertex in face_vertices.items():
        outward = mesh.vertices[:, vertex] - head_centre
        facing = outward[:, 2] / np.linalg.norm(outward, axis=1)
        visible[:, KEYPOINTS.index(name)] = facing > MIN_FACING[name.split("_")[-1]]
    return np.stack([position[name] for name in KEYPOINTS], axis=1), visible


def _face_vertices(arrays: BodyArrays) -> dict[str, int]:
    """Find the vertices of nose, eyes and ears on any mesh, by the shape of its template."""
    head = np.flatnonzero(arrays.skinning.argmax(1) == JOINTS.index("head"))
    points = arrays.template[head]
    nose = points[points[:, 2].argmax()]
    ear_level = np.abs(points[:, 1] - nose[1]) < 0.04
    ears: Int64Array = head[ear_level][
        [points[ear_level, 0].argmin(), points[ear_level, 0].argmax()]
    ]
    vertices = {"right_ear": int(ears[0]), "left_ear": int(ears[1])}
    front = points[:, 2] > nose[2] - 0.06
    for name, offset in FACE_OFFSETS.items():
        distance = np.abs(points[front, :2] - nose[:2] - np.array(offset)).sum(1)
        vertices[name] = int(head[front][distance.argmin()])
    return vertices


def draw_skeletons(mesh: Mesh, arrays: BodyArrays, height: int, width: int) -> Uint8Array:
    """Draw OpenPose skeletons of bodies on black, [B, height, width, 3]."""
    keypoints, visible = openpose_keypoints(mesh, arrays)
    return np.stack(
        [
            _draw_skeleton(*skeleton, height, width)
            for skeleton in zip(keypoints, visible, strict=True)
        ]
    )


def _draw_skeleton(
    keypoints: Float32Array, visible: NDArray[np.bool_], height: int, width: int
) -> Uint8Array:
    image = Image.new("RGB", (width, height))
    canvas = ImageDraw.Draw(image)
    radius = max(1.0, RADIUS * height)
    for limb, (start, end) in enumerate(LIMBS):
        if visible[start] and visible[end]:
            colour = tuple(int(LIMB_BRIGHTNESS * value) for value in COLOURS[limb])
            line = [tuple(keypoints[start].tolist()), tuple(keypoints[end].tolist())]
            canvas.line(line, fill=colour, width=round(2 * radius))
    for keypoint, (x, y) in enumerate(keypoints.tolist()):
        if visible[keypoint]:
            box = [x - radius, y - radius, x + radius, y + radius]
            canvas.ellipse(box, fill=COLOURS[keypoint])
    return np.asarray(image)
