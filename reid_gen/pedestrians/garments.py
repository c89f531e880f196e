"""Clothes as geometry: thickness over the body, and pieces that hang on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reid_gen.body.arrays import BodyArrays
from reid_gen.body.render.normals import vertex_normals
from reid_gen.pedestrians.people import Person
from reid_gen.types import Float32Array

Bools = NDArray[np.bool_]

BODY, BAG, BOTTOM, TOP, HAIR = range(5)
"""What a vertex belongs to: the body with the clothes painted on it, or a piece."""


@dataclass(frozen=True)
class Piece:
    """Something worn that is no part of the body's surface.

    Attributes:
        vertices: In the T-pose of the mean shape, [W, 3] metres.
        faces: [F, 3] int.
        skinning: Joints that it follows, [W, 24], rows of sum 1.
        material: One of the numbers above.
    """

    vertices: Float32Array
    faces: NDArray[np.int32]
    skinning: Float32Array
    material: int


class Landmarks:
    """Heights and widths of the mean shape in T-pose, metres; the origin of all tailoring."""

    def __init__(self, arrays: BodyArrays) -> None:
        self.joints: Float32Array = arrays.joint_regressor @ arrays.template
        self.chest_back = float(arrays.template[arrays.skinning.argmax(1) == 9, 2].min())

    def x(self, joint: int) -> float:
        """Distance of a joint from the middle plane."""
        return abs(float(self.joints[joint, 0]))

    def y(self, joint: int) -> float:
        """Height of a joint."""
        return float(self.joints[joint, 1])

    def z(self, joint: int) -> float:
        """How far a joint is to the front."""
        return float(self.joints[joint, 2])

    @property
    def mid_chest(self) -> float:
        """Height of the middle of the chest."""
        return (self.y(9) + self.y(6)) / 2 + 0.05

    def scalp(self, points: Float32Array) -> Bools:
        """Which points [N, 3] have hair or a cap: above the forehead, and behind the ears."""
        _, y, z = points.T
        head = y > self.y(15) - 0.02
        above = y > self.y(15) + 0.10 + 0.9 * np.maximum(0, z - self.z(15))
        behind = z < self.z(15) - 0.01
        return head & (above | behind) & (np.abs(points[:, 0]) < 0.15)


@dataclass(frozen=True)
class Dressed:
    """A person's body and clothes as one skinned mesh.

    Attributes:
        arrays: Body in SMPL format with the pieces added behind the body's vertices.
        canonical: Where each vertex lies on the undressed mean shape in T-pose, [V, 3]; clothes are
            painted by it.
        material: Of each vertex, [V].
    """

    arrays: BodyArrays
    canonical: Float32Array
    material: NDArray[np.int64]

    @cached_property
    def face_material(self) -> NDArray[np.int64]:
        """Of each face, [F]."""
        return self.material[self.arrays.faces[:, 0]]


def dress(body: BodyArrays, person: Person) -> Dressed:
    """Put a person's clothes on a body.

    Args:
        body: The naked body.
        person: What they wear.

    Returns:
        The mesh; pieces follow the joints when pose or shape change. Source: own.
    """
    marks = Landmarks(body)
    thickness = _thickness(body, person, marks)
    normals = vertex_normals(body.template[None], body.faces)[0]
    arrays = replace(body, template=body.template + normals * thickness[:, None])
    canonical, material = [body.template], [np.full(len(body.template), BODY)]
    for piece in _pieces(person, marks):
        arrays = _attach(arrays, body, piece)
        canonical.append(piece.vertices)
        material.append(np.full(len(piece.vertices), piece.material))
    return Dressed(arrays, np.concatenate(canonical), np.concatenate(material))


def _attach(arrays: BodyArrays, body: BodyArrays, piece: Piece) -> BodyArrays:
    """Add a piece; it moves with its joints where the shape moves them."""
    count, size = len(piece.vertices), len(arrays.template)
    joint_moves = np.einsum("jv,vck->jck", body.joint_regressor, body.shape_directions)
    moves = np.einsum("wj,jck->wck", piece.skinning, joint_moves).astype(np.float32)
    still = np.zeros((count, *arrays.pose_directions.shape[1:]), np.float32)
    return replace(
        arrays,
        template=np.concatenate([arrays.template, piece.vertices]),
        shape_directions=np.concatenate([arrays.shape_directions, moves]),
        pose_directions=np.concatenate([arrays.pose_directions, still]),
        joint_regressor=np.pad(arrays.joint_regressor, ((0, 0), (0, count))),
        skinning=np.concatenate([arrays.skinning, piece.skinning]),
        faces=np.concatenate([arrays.faces, piece.faces + size]).astype(np.int32),
    )


TOP_THICKNESS = {"tee": 0.010, "long": 0.012, "jacket": 0.024, "coat": 0.026, "tank": 0.006}
BOTTOM_THICKNESS = {"trousers": 0.018, "shorts": 0.020, "skirt": 0.010, "leggings": 0.003}
HAIR_THICKNESS = {
    "short": 0.012, "long": 0.024, "bald": 0.0, "bun": 0.014, "cap": 0.016, "hood": 0.030,
}  # fmt: skip


def _thickness(body: BodyArrays, person: Person, marks: Landmarks) -> Float32Array:
    """Metres of cloth or hair over each vertex of the body, [V]."""
    part = body.skinning.argmax(1)
    top = TOP_THICKNESS[person.top] * person.looseness
    bottom = BOTTOM_THICKNESS[person.bottom] * person.looseness
    over = np.zeros(24, np.float32)
    over[[0, 3, 6, 9, 13, 14]] = top
    over[[16, 17]] = 0 if person.top == "tank" else top
    over[[18, 19]] = 0 if person.top in ("tee", "tank") else 0.9 * top
    over[[1, 2]] = bottom
    over[[4, 5]] = bottom if person.bottom in ("trousers", "leggings") else 0
    over[[7, 8, 10, 11]] = 0.008
    over[12] = HAIR_THICKNESS["hood"] if person.hair == "hood" else 0
    thickness = over[part]
    if person.bottom == "trousers":
        cuff = np.isin(part, [7, 8]) & (body.template[:, 1] > marks.y(7) - 0.03)
        thickness[cuff] = bottom
    thickness[marks.scalp(body.template)] = HAIR_THICKNESS[person.hair]
    return thickness


def _pieces(person: Person, marks: Landmarks) -> list[Piece]:
    pieces = []
    if person.bag != "none":
        pieces.append(BAGS[person.bag](person, marks))
    if person.bottom == "skirt":
        low = marks.y(4) + 0.02 + 0.25 * person.bottom_length
        tube = _tube(low, marks.y(0) + 0.04, 0.27, 0.17, back=0.005)
        pieces.append(Piece(*tube, _flares(tube[0], 0.75), BOTTOM))
    if person.top == "coat":
        tube = _tube(marks.y(1) - 0.30, marks.y(0) + 0.06, 0.235, 0.185, back=0.01)
        pieces.append(Piece(*tube, _flares(tube[0], 0.6), TOP))
    if person.hair == "long":
        pieces.append(_long_hair(marks))
    if person.hair == "bun":
        bun = _box((0, marks.y(15) + 0.13, marks.z(15) - 0.10), (0.04, 0.04, 0.04), roundness=0.9)
        pieces.append(Piece(*bun, _follow(len(bun[0]), {15: 1.0}), HAIR))
    if person.hair == "cap":
        peak = _box((0, marks.y(15) + 0.145, marks.z(15) + 0.12), (0.065, 0.008, 0.065))
        pieces.append(Piece(*peak, _follow(len(peak[0]), {15: 1.0}), BAG))
    return pieces


def _backpack(person: Person, marks: Landmarks) -> Piece:
    size = person.bag_size
    centre = (0.0, marks.mid_chest, marks.chest_back - 0.065 * size)
    box = _box(centre, (0.145 * size, 0.20 * size, 0.085 * size))
    return Piece(*box, _follow(len(box[0]), {9: 0.7, 6: 0.3}), BAG)


def _shoulder_bag(person: Person, marks: Landmarks) -> Piece:
    size = person.bag_size
    centre = (0.23 * person.bag_side, marks.y(0) - 0.02, 0.02)
    box = _box(centre, (0.05 * size, 0.11 * size, 0.14 * size))
    return Piece(*box, _follow(len(box[0]), {0: 1.0}), BAG)


def _hand_bag(person: Person, marks: Landmarks) -> Piece:
    size, side = person.bag_size, person.bag_side
    left = side == 1
    hand = marks.joints[22 if left else 23]
    # The arms lie along x in T-pose, so what hangs below a hand lies beyond it.
    box = _box((hand[0] + side * 0.24, hand[1], hand[2]), (0.17 * size, 0.04 * size, 0.13 * size))
    return Piece(*box, _follow(len(box[0]), {20 if left else 21: 1.0}), BAG)


BAGS = {"backpack": _backpack, "shoulder": _shoulder_bag, "hand": _hand_bag}


def _long_hair(marks: Landmarks) -> Piece:
    vertices, faces = _tube(
        marks.y(12) - 0.06, marks.y(15) + 0.12, 0.10, 0.085, back=0.035 - marks.z(15), depth=0.85
    )
    behind = vertices[:, 2] < marks.z(15) + 0.035
    faces = faces[behind[faces].all(1)]
    return Piece(vertices, faces, _follow(len(vertices), {15: 0.75, 12: 0.25}), HAIR)


def _follow(count: int, joints: dict[int, float]) -> Float32Array:
    skinning = np.zeros((count, 24), np.float32)
    for joint, share in joints.items():
        skinning[:, joint] = share
    return skinning


def _flares(vertices: Float32Array, most: float) -> Float32Array:
    """Skinning of a skirt: at the waist it follows the pelvis, at the hem mostly the legs."""
    height = vertices[:, 1]
    down = most * (height.max() - height) / (height.max() - height.min())
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
    """A box of half sizes ``half``, swollen towards a ball by ``roundness``."""
    grid = np.linspace(-1, 1, cells + 1)
    first, second = (axis.ravel() for axis in np.meshgrid(grid, grid, indexing="ij"))
    quads = _quads(cells + 1, cells + 1, around=False)
    vertices: list[NDArray[np.float64]] = []
    faces: list[NDArray[np.int32]] = []
    for axis in range(3):
        for sign in (-1, 1):
            side = np.empty((len(first), 3))
            side[:, axis], side[:, (axis + 1) % 3], side[:, (axis + 2) % 3] = sign, first, second
            faces.append((quads if sign > 0 else quads[:, ::-1]) + len(first) * len(vertices))
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
    """An upright open tube from height ``low`` to ``high``, flattened front to back."""
    rings, around = 5, 14
    share = np.repeat(np.linspace(0, 1, rings), around)
    angle = np.tile(2 * np.pi * np.arange(around) / around, rings)
    radius = radius_low + (radius_high - radius_low) * share
    vertices = np.stack(
        [radius * np.sin(angle), low + (high - low) * share, depth * radius * np.cos(angle) - back],
        axis=1,
    )
    return vertices.astype(np.float32), _quads(rings, around, around=True)[:, ::-1]


def _quads(rows: int, columns: int, *, around: bool) -> NDArray[np.int32]:
    """Two triangles per cell of a grid of vertices; ``around`` closes the last column."""
    row, column = (
        axis.ravel()
        for axis in np.meshgrid(
            np.arange(rows - 1), np.arange(columns if around else columns - 1), indexing="ij"
        )
    )
    beside = (column + 1) % columns
    a, b = row * columns + column, row * columns + beside
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, c, d], 1), np.stack([a, d, b], 1)]).astype(np.int32)
