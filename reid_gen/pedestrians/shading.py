"""From a posed, dressed body to light: z-buffer, painted albedo, folds, lamp and sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reid_gen.body.render.normals import vertex_normals
from reid_gen.body.render.rasterise import interpolate, rasterise
from reid_gen.pedestrians.cameras import Light
from reid_gen.pedestrians.garments import BODY, Bools, Dressed, Landmarks
from reid_gen.pedestrians.people import Person
from reid_gen.pedestrians.projection import View
from reid_gen.pedestrians.texture import paint
from reid_gen.types import Float32Array


@dataclass(frozen=True)
class Picture:
    """A person without surroundings.

    Attributes:
        light: Linear RGB, [H, W, 3]; 0 outside.
        mask: Where the person is, [H, W].
        feet: Lowest point in pixels, (x, y).
    """

    light: Float32Array
    mask: Bools
    feet: tuple[float, float]


def shade(
    person: Person,
    dressed: Dressed,
    marks: Landmarks,
    vertices: Float32Array,
    view: View,
    lamp: Light,
    height: int,
    width: int,
) -> Picture:
    """Render one posed person.

    Args:
        person: Who.
        dressed: Their mesh.
        marks: Of the naked body.
        vertices: Posed, [V, 3].
        view: From body coordinates to pixels.
        lamp: Light of the scene.
        height: Of the picture in pixels.
        width: Of the picture in pixels.

    Returns:
        The picture. Source: own; Lambertian light, a sky brighter than the ground, a little gloss.
    """
    faces = dressed.arrays.faces
    screen = view.screen(vertices)
    fragments = rasterise(screen[None], faces, height, width)
    mask = fragments.face[0] >= 0
    normals = vertex_normals(vertices[None], faces)[0] @ view.rotation.T
    values = np.concatenate([dressed.canonical, normals], axis=1).astype(np.float32)
    seen = interpolate(fragments, faces, values)[0][mask]
    points, normal = seen[:, :3], seen[:, 3:]
    material = dressed.face_material[fragments.face[0][mask]]
    normal = np.where(normal[:, 2:] < 0, -normal, normal)
    on_head = (material == BODY) & (points[:, 1] > marks.y(12))
    normal = _folded(normal, points, person.folds, ~on_head)
    picture = np.zeros((height, width, 3), np.float32)
    picture[mask] = _lit(paint(person, marks, points, material), normal, lamp)
    lowest = screen[screen[:, 1].argmax()]
    return Picture(picture, mask, (float(screen[:, 0].mean()), float(lowest[1])))


def _folded(normal: Float32Array, points: Float32Array, seed: int, on_cloth: Bools) -> Float32Array:
    """Normals bent by folds of cloth that stay with the person."""
    across = 0.28 * _waves(points, 55, seed) + 0.16 * _waves(points, 120, seed + 1)
    up = 0.25 * _waves(points, 60, seed + 2)
    bent = normal + np.stack([across, up, np.zeros_like(up)], 1) * on_cloth[:, None]
    length = np.linalg.norm(bent, axis=1, keepdims=True)
    return (bent / np.maximum(length, 1e-9)).astype(np.float32)


def _waves(points: Float32Array, frequency: float, seed: int, count: int = 5) -> Float32Array:
    rng = np.random.default_rng(seed)
    direction = rng.normal(0, frequency, (3, count)).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, count).astype(np.float32)
    return np.sin(points @ direction + phase).mean(1)


def _lit(albedo: Float32Array, normal: Float32Array, lamp: Light) -> Float32Array:
    sky = 0.55 + 0.45 * normal[:, 1:2]
    direct = np.clip(normal @ lamp.direction, 0, None)[:, None]
    between = lamp.direction + np.array([0, 0, 1], np.float32)
    gloss = np.clip(normal @ (between / np.linalg.norm(between)), 0, 1)[:, None] ** 20
    lit: Float32Array = albedo * (lamp.ambient * sky + lamp.key * direct) + 0.03 * gloss
    return lit
