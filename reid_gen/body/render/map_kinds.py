"""Kinds of body maps: renderings that condition a generator on pose and viewpoint."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reid_gen.body.render.normals import vertex_normals
from reid_gen.body.render.rasterise import Faces, Fragments, Rasteriser, interpolate, rasterise
from reid_gen.choices import MapName
from reid_gen.errors import UserError
from reid_gen.types import Float32Array


@dataclass(frozen=True)
class Mesh:
    """Meshes of B posed bodies, ready to be rendered.

    Attributes:
        vertices: Vertices in camera coordinates (y up, +z towards the camera), [B, V, 3].
        screen: Projected vertices, x and y in pixels and depth, [B, V, 3].
        faces: Vertex indices of each triangle, [F, 3].
        skinning: Linear blend skinning weights, [V, 24].
        colours: Vertex colours in -1..1, [B, V, 3]; needed for ``painted`` maps only.
        rasteriser: Function that finds the visible faces, one of ``rasterisers.RASTERISERS``.
    """

    vertices: Float32Array
    screen: Float32Array
    faces: Faces
    skinning: Float32Array
    colours: Float32Array | None = None
    rasteriser: Rasteriser = rasterise


def render_body_maps(mesh: Mesh, kind: MapName, height: int, width: int) -> Float32Array:
    """Render body maps.

    Args:
        mesh: Meshes of B bodies.
        kind: A key of ``MAP_KINDS``.
        height: Map height in pixels.
        width: Map width in pixels.

    Returns:
        Values in -1..1, [B, C, H, W]; C is ``MAP_KINDS[kind].channels``.

    Raises:
        UserError: If the kind is unknown.
    """
    if kind not in MAP_KINDS:
        raise UserError(f"unknown body map {kind!r}; known: {', '.join(MAP_KINDS)}")
    fragments = mesh.rasteriser(mesh.screen, mesh.faces, height, width)
    maps = MAP_KINDS[kind].render(mesh, fragments)
    return np.ascontiguousarray(np.moveaxis(maps, -1, 1), dtype=np.float32)


def _silhouette(mesh: Mesh, fragments: Fragments) -> Float32Array:
    return np.where(fragments.face >= 0, 1, -1)[..., None]


def _depth(mesh: Mesh, fragments: Fragments) -> Float32Array:
    """Depth, scaled per body from 1 at its nearest point to -0.5 at its farthest; background -1."""
    inside = fragments.face >= 0
    depth = mesh.screen[..., 2]
    near, far = depth.min(1)[:, None, None], depth.max(1)[:, None, None]
    normalised = (np.where(inside, fragments.depth, near) - near) / np.maximum(far - near, 1e-6)
    return np.where(inside, 1 - 1.5 * normalised, -1)[..., None]


def _normals(mesh: Mesh, fragments: Fragments) -> Float32Array:
    """Unit surface normals in camera coordinates; background 0."""
    normals = interpolate(fragments, mesh.faces, vertex_normals(mesh.vertices, mesh.faces))
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals / np.maximum(length, 1e-9)


def _parts(mesh: Mesh, fragments: Fragments) -> Float32Array:
    """Body parts, coloured by the joint with the largest skinning weight; background -1."""
    batch, row, column = np.nonzero(fragments.face >= 0)
    corners = mesh.faces[fragments.face[batch, row, column]]
    corner_parts = mesh.skinning.argmax(1)[corners]
    part = corner_parts[:, 0]
    on_border = (corner_parts != part[:, None]).any(1)
    weights = fragments.barycentric[batch, row, column][on_border]
    part[on_border] = np.einsum("nk,nkj->nj", weights, mesh.skinning[corners[on_border]]).argmax(1)
    colours = np.full((*fragments.face.shape, 3), -1, np.float32)
    colours[batch, row, column] = PART_COLOURS[part]
    return colours


def _grey(mesh: Mesh, fragments: Fragments) -> Float32Array:
    """A matt grey body lit by three lamps on a white background, as in GCL."""
    normals = _normals(mesh, fragments)
    diffuse = np.clip(normals @ LAMP_DIRECTIONS.T, 0, None) @ LAMP_STRENGTHS
    return np.where(fragments.face >= 0, 2 * (0.1 + 0.75 * diffuse) - 1, 1)[..., None]


def _painted(mesh: Mesh, fragments: Fragments) -> Float32Array:
    """Surface colours, with the silhouette as the fourth channel; background -1."""
    assert mesh.colours is not None
    inside = (fragments.face >= 0)[..., None]
    colours = interpolate(fragments, mesh.faces, mesh.colours)
    return np.where(inside, np.concatenate([colours, np.ones_like(colours[..., :1])], axis=-1), -1)


@dataclass(frozen=True)
class MapKind:
    """A kind of body map.

    Attributes:
        channels: Number of channels, C.
        render: Function from meshes and their fragments to maps, [B, H, W, C].
        background: Value of every channel outside the body.
        textured: Whether maps are coloured from images of the people.
    """

    channels: int
    render: Callable[[Mesh, Fragments], Float32Array]
    background: float
    textured: bool = False


MAP_KINDS: dict[MapName, MapKind] = {
    "grey": MapKind(1, _grey, 1),
    "depth": MapKind(1, _depth, -1),
    "normals": MapKind(3, _normals, 0),
    "parts": MapKind(3, _parts, -1),
    "silhouette": MapKind(1, _silhouette, -1),
    "painted": MapKind(4, _painted, -1, textured=True),
}


def _part_colours(count: int = 24) -> Float32Array:
    """Return well separated colours: golden-ratio hues, two saturations, two brightnesses."""
    colours = [
        colorsys.hsv_to_rgb((n * 0.618034) % 1, (1, 0.55)[n % 2], (1, 0.65)[n // 2 % 2])
        for n in range(count)
    ]
    return (2 * np.array(colours) - 1).astype(np.float32)


PART_COLOURS = _part_colours()
LAMP_DIRECTIONS = np.array([[-0.4, 0.4, 0.8], [0.7, 0.3, 0.65], [0, 0.9, -0.4]], np.float32)
LAMP_DIRECTIONS /= np.linalg.norm(LAMP_DIRECTIONS, axis=1, keepdims=True)
LAMP_STRENGTHS = np.array([0.6, 0.4, 0.2], np.float32)
