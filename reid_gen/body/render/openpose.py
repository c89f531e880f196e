"""Bodies as OpenPose draws people: what pose-controlled diffusion models are shown."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from reid_gen.body.arrays import JOINTS, BodyArrays
from reid_gen.body.render.map_kinds import Mesh
from reid_gen.types import Float32Array, Int64Array, Uint8Array

POINTS = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
"""OpenPose's 18 in its order (Cao et al., TPAMI 2019)."""
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12),
    (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
FACE = {"nose": (0.0, 0.0), "right_eye": (-0.032, 0.035), "left_eye": (0.032, 0.035)}
"""Metres to the person's left of the nose's tip and above it."""
SEEN = {"nose": -0.3, "eye": 0.0, "ear": -0.5}
"""How far a point may lie behind the middle of the head (cosine): noses and ears stand out."""
COLOURS = tuple(
    tuple(round(255 * part) for part in colorsys.hsv_to_rgb(n / len(POINTS), 1, 1))
    for n in range(len(POINTS))
)
DIMMED = 0.6
"""Of a limb's colour against a point's."""
THICK = 4 / 512
"""Half the thickness of limbs, and the radius of points, as a share of the height."""


def openpose_points(mesh: Mesh, arrays: BodyArrays) -> tuple[Float32Array, NDArray[np.bool_]]:
    """Where OpenPose's points lie on bodies.

    Joints are the body model's; the neck is midway between the shoulders; points of the face are
    seen while they lie on the camera's side of the head. Source: own.

    Args:
        mesh: B bodies.
        arrays: Of the body model.

    Returns:
        x and y in pixels, [B, 18, 2], and which are seen, [B, 18].
    """
    joints = np.einsum("jv,bvc->bjc", arrays.joint_regressor, mesh.screen[..., :2])
    own = {name: joints[:, n] for n, name in enumerate(JOINTS)}
    own["neck"] = (own["left_shoulder"] + own["right_shoulder"]) / 2
    face = _face(arrays)
    for name, vertex in face.items():
        own[name] = mesh.screen[:, vertex, :2]
    head = mesh.vertices[:, [face["left_ear"], face["right_ear"]]].mean(1)
    seen = np.ones((len(joints), len(POINTS)), bool)
    for name, vertex in face.items():
        outward = mesh.vertices[:, vertex] - head
        towards = outward[:, 2] / np.linalg.norm(outward, axis=1)
        seen[:, POINTS.index(name)] = towards > SEEN[name.split("_")[-1]]
    return np.stack([own[name] for name in POINTS], axis=1), seen


def _face(arrays: BodyArrays) -> dict[str, int]:
    """Vertices of nose, eyes and ears; on a body of any mesh, by its shape at rest."""
    head = np.flatnonzero(arrays.skinning.argmax(1) == JOINTS.index("head"))
    place = arrays.template[head]
    nose = place[place[:, 2].argmax()]
    middle = np.abs(place[:, 1] - nose[1]) < 0.04
    ears: Int64Array = head[middle][[place[middle, 0].argmin(), place[middle, 0].argmax()]]
    found = {"right_ear": int(ears[0]), "left_ear": int(ears[1])}
    front = place[:, 2] > nose[2] - 0.06
    for name, (across, up) in FACE.items():
        away = np.abs(place[front, :2] - nose[:2] - np.array([across, up])).sum(1)
        found[name] = int(head[front][away.argmin()])
    return found


def draw_skeletons(mesh: Mesh, arrays: BodyArrays, height: int, width: int) -> Uint8Array:
    """Draw bodies as OpenPose does, on black, [B, height, width, 3]."""
    points, seen = openpose_points(mesh, arrays)
    return np.stack([_draw(*one, height, width) for one in zip(points, seen, strict=True)])


def _draw(points: Float32Array, seen: NDArray[np.bool_], height: int, width: int) -> Uint8Array:
    picture = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(picture)
    radius = max(1.0, THICK * height)
    for number, (start, end) in enumerate(LIMBS):
        if seen[start] and seen[end]:
            colour = tuple(int(DIMMED * part) for part in COLOURS[number])
            line = [tuple(points[start].tolist()), tuple(points[end].tolist())]
            pen.line(line, fill=colour, width=round(2 * radius))
    for number, (x, y) in enumerate(points.tolist()):
        if seen[number]:
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=COLOURS[number])
    return np.asarray(picture)
