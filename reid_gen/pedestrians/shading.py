"""Rendering of a posed, clothed person: z-buffer, albedo, normals of cloth folds, lighting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reid_gen.body.render.normals import vertex_normals
from reid_gen.body.render.rasterise import interpolate, rasterise
from reid_gen.pedestrians.cameras import Light
from reid_gen.pedestrians.garments import BODY, BoolArray, ClothedBody, Landmarks
from reid_gen.pedestrians.people import Person
from reid_gen.pedestrians.projection import Projection
from reid_gen.pedestrians.texture import surface_albedo
from reid_gen.types import Float32Array


@dataclass(frozen=True)
class PersonLayer:
    """Rendered person without background, a layer for compositing.

    Attributes:
        radiance: Linear RGB, [H, W, 3]; 0 outside the mask.
        mask: Silhouette of the person, [H, W].
        feet: Mean x and largest y of the vertices in pixels, (x, y).
    """

    radiance: Float32Array
    mask: BoolArray
    feet: tuple[float, float]


def render_person(
    person: Person,
    clothed: ClothedBody,
    landmarks: Landmarks,
    vertices: Float32Array,
    projection: Projection,
    light: Light,
    *,
    height: int,
    width: int,
) -> PersonLayer:
    """Render one posed person.

    Args:
        person: Appearance of the person.
        clothed: Mesh of the body and clothes.
        landmarks: Landmarks of the unclothed body.
        vertices: Posed vertices, [V, 3].
        projection: Projection from body coordinates to pixels.
        light: Lighting of the scene.
        height: Height of the layer in pixels.
        width: Width of the layer in pixels.

    Returns:
        The layer. Source: own; Lambertian and specular shading with hemispherical ambient light.
    """
    faces = clothed.arrays.faces
    projected = projection.project(vertices)
    fragments = rasterise(projected[None], faces, height, width)
    mask = fragments.face[0] >= 0
    normals = vertex_normals(vertices[None], faces)[0] @ projection.rotation.T
    attributes = np.concatenate([clothed.canonical, normals], axis=1).astype(np.float32)
    pixels = interpolate(fragments, faces, attributes)[0][mask]
    points, normal = pixels[:, :3], pixels[:, 3:]
    material = clothed.face_material[fragments.face[0][mask]]
    normal = np.where(normal[:, 2:] < 0, -normal, normal)
    on_head = (material == BODY) & (points[:, 1] > landmarks.y(12))
    normal = _add_folds(normal, points, person.folds, ~on_head)
    radiance = np.zeros((height, width, 3), np.float32)
    radiance[mask] = _shade(surface_albedo(person, landmarks, points, material), normal, light)
    lowest = projected[projected[:, 1].argmax()]
    return PersonLayer(radiance, mask, (float(projected[:, 0].mean()), float(lowest[1])))


def _add_folds(
    normal: Float32Array, points: Float32Array, seed: int, on_cloth: BoolArray
) -> Float32Array:
    """Perturb normals by cloth folds; a seed always gives the same folds (bump mapping)."""
    dx = 0.28 * _waves(points, 55, seed) + 0.16 * _waves(points, 120, seed + 1)
    dy = 0.25 * _waves(points, 60, seed + 2)
    perturbed = normal + np.stack([dx, dy, np.zeros_like(dy)], 1) * on_cloth[:, None]
    length = np.linalg.norm(perturbed, axis=1, keepdims=True)
    return (perturbed / np.maximum(length, 1e-9)).astype(np.float32)


def _waves(points: Float32Array, frequency: float, seed: int, count: int = 5) -> Float32Array:
    """Mean of ``count`` plane waves of random direction and phase at points [N, 3], [N]."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(0, frequency, (3, count)).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, count).astype(np.float32)
    return np.sin(points @ direction + phase).mean(1)


def _shade(albedo: Float32Array, normal: Float32Array, light: Light) -> Float32Array:
    """Blinn-Phong shading of points, linear RGB, [N, 3]; ambient light is brighter from above."""
    hemisphere = 0.55 + 0.45 * normal[:, 1:2]
    diffuse = np.clip(normal @ light.direction, 0, None)[:, None]
    halfway = light.direction + np.array([0, 0, 1], np.float32)
    specular = np.clip(normal @ (halfway / np.linalg.norm(halfway)), 0, 1)[:, None] ** 20
    radiance: Float32Array = (
        albedo * (light.ambient * hemisphere + light.key * diffuse) + 0.03 * specular
    )
    return radiance
