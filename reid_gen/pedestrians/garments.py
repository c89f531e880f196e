"""Geometry of clothes: offsets of the body's surface, and separate meshes attached to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reid_gen.body.arrays import BodyArrays
from reid_gen.body.render.normals import vertex_normals
from reid_gen.pedestrians.people import Person
from reid_gen.types import Float32Array

BoolArray = NDArray[np.bool_]

BODY, BAG, BOTTOM, TOP, HAIR = range(5)
"""Materials of vertices: the body, on which clothes are painted, or a separate mesh."""


@dataclass(frozen=True)
class GarmentMesh:
    """Mesh of a garment, hair or accessory that is separate from the body's surface.

    Attributes:
        vertices: Vertices in metres on the mean shape in T-pose, [W, 3].
        faces: Vertex indices of each triangle, [F, 3].
        skinning: Skinning weights, [W, 24]; rows sum to 1.
        material: Material: ``BAG``, ``BOTTOM``, ``TOP`` or ``HAIR``.
    """

    vertices: Float32Array
    faces: NDArray[np.int32]
    skinning: Float32Array
    material: int


class Landmarks:
    """Joint positions of the mean shape in T-pose in metres, from which garments are measured."""

    def __init__(self, arrays: BodyArrays) -> None:
        self.joints: Float32Array = arrays.joint_regressor @ arrays.template
        self.chest_back = float(arrays.template[arrays.skinning.argmax(1) == 9, 2].min())

    def x(self, joint: int) -> float:
        """Distance of a joint from the sagittal plane."""
        return abs(float(self.joints[joint, 0]))

    def y(self, joint: int) -> float:
        """Height of a joint."""
        return float(self.joints[joint, 1])

    def z(self, joint: int) -> float:
        """Forward position of a joint."""
        return float(self.joints[joint, 2])

    @property
    def mid_chest(self) -> float:
        """Height of the middle of the chest."""
        return (self.y(9) + self.y(6)) / 2 + 0.05

    def scalp(self, points: Float32Array) -> BoolArray:
        """Mask of the points [N, 3] under hair or a cap: above the forehead or behind the ears."""
        _, y, z = points.T
        on_head = y > self.y(15) - 0.02
        above_forehead = y > self.y(15) + 0.10 + 0.9 * np.maximum(0, z - self.z(15))
        behind_ears = z < self.z(15) - 0.01
        return on_head & (above_forehead | behind_ears) & (np.abs(points[:, 0]) < 0.15)


@dataclass(frozen=True)
class ClothedBody:
    """Body and clothes of a person as one skinned mesh.

    Attributes:
        arrays: Arrays in SMPL format; the vertices of separate meshes follow those of the body.
        canonical: Position of each vertex on the unclothed mean shape in T-pose, [V, 3], which
            determines its albedo.
        material: Material of each vertex, [V].
    """

    arrays: BodyArrays
    canonical: Float32Array
    material: NDArray[np.int64]

    @cached_property
    def face_material(self) -> NDArray[np.int64]:
        """Material of each face, [F]."""
        return self.material[self.arrays.faces[:, 0]]


def dress(body: BodyArrays, person: Person) -> ClothedBody:
    """Put a person's clothes on a body.

    Args:
        body: Unclothed body.
        person: Person whose clothes are put on.

    Returns:
        The mesh; separate meshes follow the joints when pose or shape change. Source: own.
    """
    landmarks = Landmarks(body)
    thickness = _thickness(body, person, landmarks)
    normals = vertex_normals(body.template[None], body.faces)[0]
    arrays = replace(body, template=body.template + normals * thickness[:, None])
    canonical, material = [body.template], [np.full(len(body.template), BODY)]
    for mesh in _separate_meshes(person, landmarks):
        arrays = _attach(arrays, body, mesh)
        canonical.append(mesh.vertices)
        material.append(np.full(len(mesh.vertices), mesh.material))
    return ClothedBody(arrays, np.concatenate(canonical), np.concatenate(material))


def _attach(arrays: BodyArrays, body: BodyArrays, mesh: GarmentMesh) -> BodyArrays:
    """Append a mesh; with the shape it moves as its joints do, and it has no pose blend shapes."""
    added, size = len(mesh.vertices), len(arrays.template)
    joint_directions = np.einsum("jv,vck->jck", body.joint_regressor, body.shape_directions)
    shape_directions = np.einsum("wj,jck->wck", mesh.skinning, joint_directions).astype(np.float32)
    pose_directions = np.zeros((added, *arrays.pose_directions.shape[1:]), np.float32)
    return replace(
        arrays,
        template=np.concatenate([arrays.template, mesh.vertices]),
        shape_directions=np.concatenate([arrays.shape_directions, shape_directions]),
        pose_directions=np.concatenate([arrays.pose_directions, pose_directions]),
        joint_regressor=np.pad(arrays.joint_regressor, ((0, 0), (0, added))),
        skinning=np.concatenate([arrays.skinning, mesh.skinning]),
        faces=np.concatenate([arrays.faces, mesh.faces + size]).astype(np.int32),
    )


# Thickness of cloth or hair in metres.
TOP_THICKNESS = {"tee": 0.010, "long": 0.012, "jacket": 0.024, "coat": 0.026, "tank": 0.006}
BOTTOM_THICKNESS = {"trousers": 0.018, "shorts": 0.020, "skirt": 0.010, "leggings": 0.003}
HAIR_THICKNESS = {
    "short": 0.012, "long": 0.024, "bald": 0.0, "bun": 0.014, "cap": 0.016, "hood": 0.030,
}  # fmt: skip


def _thickness(body: BodyArrays, person: Person, landmarks: Landmarks) -> Float32Array:
    """Thickness of cloth or hair over each vertex of the body in metres, [V]."""
    joint = body.skinning.argmax(1)
    top = TOP_THICKNESS[person.top] * person.looseness
    bottom = BOTTOM_THICKNESS[person.bottom] * person.looseness
    of_joint = np.zeros(24, np.float32)
    of_joint[[0, 3, 6, 9, 13, 14]] = top
    of_joint[[16, 17]] = 0 if person.top == "tank" else top
    of_joint[[18, 19]] = 0 if person.top in ("tee", "tank") else 0.9 * top
    of_joint[[1, 2]] = bottom
    of_joint[[4, 5]] = bottom if person.bottom in ("trousers", "leggings") else 0
    of_joint[[7, 8, 10, 11]] = 0.008
    of_joint[12] = HAIR_THICKNESS["hood"] if person.hair == "hood" else 0
    thickness = of_joint[joint]
    if person.bottom == "trousers":
        cuff = np.isin(joint, [7, 8]) & (body.template[:, 1] > landmarks.y(7) - 0.03)
        thickness[cuff] = bottom
    thickness[landmarks.scalp(body.template)] = HAIR_THICKNESS[person.hair]
    return thickness


def _separate_meshes(person: Person, landmarks: Landmarks) -> list[GarmentMesh]:
    meshes = []
    if person.bag != "none":
        meshes.append(BAGS[person.bag](person, landmarks))
    if person.bottom == "skirt":
        low = landmarks.y(4) + 0.02 + 0.25 * person.hem_height
        tube = _tube(low, landmarks.y(0) + 0.04, 0.27, 0.17, back=0.005)
        meshes.append(GarmentMesh(*tube, _skirt_skinning(tube[0], 0.75), BOTTOM))
    if person.top == "coat":
        tube = _tube(landmarks.y(1) - 0.30, landmarks.y(0) + 0.06, 0.235, 0.185, back=0.01)
        meshes.append(GarmentMesh(*tube, _skirt_skinning(tube[0], 0.6), TOP))
    if person.hair == "long":
        meshes.append(_long_hair(landmarks))
    if person.hair == "bun":
        centre = (0, landmarks.y(15) + 0.13, landmarks.z(15) - 0.10)
        bun = _box(centre, (0.04, 0.04, 0.04), roundness=0.9)
        meshes.append(GarmentMesh(*bun, _rigid_skinning(len(bun[0]), {15: 1.0}), HAIR))
    if person.hair == "cap":
        peak = _box((0, landmarks.y(15) + 0.145, landmarks.z(15) + 0.12), (0.065, 0.008, 0.065))
        meshes.append(GarmentMesh(*peak, _rigid_skinning(len(peak[0]), {15: 1.0}), BAG))
    return meshes


def _backpack(person: Person, landmarks: Landmarks) -> GarmentMesh:
    size = person.bag_size
    centre = (0.0, landmarks.mid_chest, landmarks.chest_back - 0.065 * size)
    box = _box(centre, (0.145 * size, 0.20 * size, 0.085 * size))
    return GarmentMesh(*box, _rigid_skinning(len(box[0]), {9: 0.7, 6: 0.3}), BAG)


def _shoulder_bag(person: Person, landmarks: Landmarks) -> GarmentMesh:
    size = person.bag_size
    centre = (0.23 * person.bag_side, landmarks.y(0) - 0.02, 0.02)
    box = _box(centre, (0.05 * size, 0.11 * size, 0.14 * size))
    return GarmentMesh(*box, _rigid_skinning(len(box[0]), {0: 1.0}), BAG)


def _hand_bag(person: Person, landmarks: Landmarks) -> GarmentMesh:
    size, side = person.bag_size, person.bag_side
    left = side == 1
    hand = landmarks.joints[22 if left else 23]
    # The arms lie along x in T-pose: a bag that hangs below the hand continues the arm.
    box = _box((hand[0] + side * 0.24, hand[1], hand[2]), (0.17 * size, 0.04 * size, 0.13 * size))
    return GarmentMesh(*box, _rigid_skinning(len(box[0]), {20 if left else 21: 1.0}), BAG)


BAGS = {"backpack": _backpack, "shoulder": _shoulder_bag, "hand": _hand_bag}


def _long_hair(landmarks: Landmarks) -> GarmentMesh:
    low, high, back = landmarks.y(12) - 0.06, landmarks.y(15) + 0.12, 0.035 - landmarks.z(15)
    vertices, faces = _tube(low, high, 0.10, 0.085, back=back, depth=0.85)
    behind = vertices[:, 2] < landmarks.z(15) + 0.035
    faces = faces[behind[faces].all(1)]
    return GarmentMesh(vertices, faces, _rigid_skinning(len(vertices), {15: 0.75, 12: 0.25}), HAIR)


def _rigid_skinning(count: int, weights: dict[int, float]) -> Float32Array:
    """Return the same skinning weights, given by joint, for all of ``count`` vertices, [N, 24]."""
    skinning = np.zeros((count, 24), np.float32)
    for joint, weight in weights.items():
        skinning[:, joint] = weight
    return skinning


def _skirt_skinning(vertices: Float32Array, hem_weight: float) -> Float32Array:
    """Skinning weights of a skirt: pelvis at the waist, legs by ``hem_weight`` at the hem."""
    height = vertices[:, 1]
    down = hem_weight * (height.max() - height) / (height.max() - height.min())
    left = np.clip(0.5 + vertices[:, 0] / 0.3, 0, 1)
    skinning = np.zeros((len(vertices), 24), np.float32)
    skinning[:, 0] = 1 - down
    skinning[:, 1] = down * left
    skinning[:, 2] = down * (1 - left)
    return skinning


def _box(
    centre: tuple[float, float, float],
    half: tuple[float, float, float],
    *,
    cells: int = 3,
    roundness: float = 0.25,
) -> tuple[Float32Array, NDArray[np.int32]]:
    """Vertices and faces of a box of half sizes ``half``; ``roundness`` 1 is an ellipsoid."""
    grid = np.linspace(-1, 1, cells + 1)
    u, v = (axis.ravel() for axis in np.meshgrid(grid, grid, indexing="ij"))
    triangles = _grid_triangles(cells + 1, cells + 1, closed=False)
    vertices: list[NDArray[np.float64]] = []
    faces: list[NDArray[np.int32]] = []
    for axis in range(3):
        for sign in (-1, 1):
            side = np.empty((len(u), 3))
            side[:, axis], side[:, (axis + 1) % 3], side[:, (axis + 2) % 3] = sign, u, v
            outward = triangles if sign > 0 else triangles[:, ::-1]
            faces.append(outward + len(u) * len(vertices))
            vertices.append(side)
    cube = np.concatenate(vertices)
    ball = 1.15 * cube / np.linalg.norm(cube, axis=1, keepdims=True)
    shape = (1 - roundness) * cube + roundness * ball
    return (shape * half + centre).astype(np.float32), np.concatenate(faces).astype(np.int32)


def _tube(
    low: float,
    high: float,
    radius_low: float,
    radius_high: float,
    *,
    back: float,
    depth: float = 0.75,
) -> tuple[Float32Array, NDArray[np.int32]]:
    """Vertices and faces of an upright open tube from height ``low`` to ``high``.

    ``back`` shifts it to the back; ``depth`` is its depth relative to its width.
    """
    rings, segments = 5, 14
    t = np.repeat(np.linspace(0, 1, rings), segments)
    angle = np.tile(2 * np.pi * np.arange(segments) / segments, rings)
    radius = radius_low + (radius_high - radius_low) * t
    vertices = np.stack(
        [radius * np.sin(angle), low + (high - low) * t, depth * radius * np.cos(angle) - back],
        axis=1,
    )
    return vertices.astype(np.float32), _grid_triangles(rings, segments, closed=True)[:, ::-1]


def _grid_triangles(rows: int, columns: int, *, closed: bool) -> NDArray[np.int32]:
    """Two triangles per cell of a grid of vertices; ``closed`` joins the last and first column."""
    row, column = (
        axis.ravel()
        for axis in np.meshgrid(
            np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij"
        )
    )
    next_column = (column + 1) % columns
    a, b = row * columns + column, row * columns + next_column
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, c, d], 1), np.stack([a, d, b], 1)]).astype(np.int32)
