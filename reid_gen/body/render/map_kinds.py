"""Pictures of bodies that tell a generator the pose and viewpoint to draw."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reid_gen.body.render.normals import vertex_normals
from reid_gen.body.render.rasterise import Faces, Fragments, Rasteriser, interpolate, rasterise
from reid_gen.errors import UserError
from reid_gen.types import Float32Array


@dataclass(frozen=True)
class Mesh:
    """Posed bodies before the camera.

    Attributes:
        vertices: In camera coordinates (y up, +z towards the camera), [B, V, 3].
        screen: The same in pixels and depth, [B, V, 3].
        faces: [F, 3].
        skinning: How far each vertex belongs to each joint, [V, 24].
        colours: Of their surface, in -1..1, [B, V, 3]; None unless they are to be ``painted``.
        rasteriser: What finds the faces that pixels see, one of ``backends.RASTERISERS``.
    """

    vertices: Float32Array
    screen: Float32Array
    faces: Faces
    skinning: Float32Array
    colours: Float32Array | None = None
    rasteriser: Rasteriser = rasterise


def draw_structure(mesh: Mesh, kind: str, height: int, width: int) -> Float32Array:
    """Draw structure maps.

    Args:
        mesh: The bodies.
        kind: A key of ``KINDS``.
        height: Of the maps in pixels.
        width: Of the maps in pixels.

    Returns:
        Values in -1..1, [B, C, H, W]; C is ``KINDS[kind].channels``.

    Raises:
        UserError: If the kind is unknown.
    """
    if kind not in MAP_KINDS:
        raise UserError(f"unknown structure map {kind!r}; known: {', '.join(MAP_KINDS)}")
    fragments = mesh.rasteriser(mesh.screen, mesh.faces, height, width)
    drawn = MAP_KINDS[kind].draw(mesh, fragments)
    return np.ascontiguousarray(np.moveaxis(drawn, -1, 1), dtype=np.float32)


def _silhouette(mesh: Mesh, fragments: Fragments) -> Float32Array:
    return np.where(fragments.face >= 0, 1, -1)[..., None]


def _depth(mesh: Mesh, fragments: Fragments) -> Float32Array:
    """Nearest point of each body 1, farthest -0.5, background -1."""
    inside = fragments.face >= 0
    depth = mesh.screen[..., 2]
    near, far = depth.min(1)[:, None, None], depth.max(1)[:, None, None]
    share = (np.where(inside, fragments.depth, near) - near) / np.maximum(far - near, 1e-6)
    return np.where(inside, 1 - 1.5 * share, -1)[..., None]


def _normals(mesh: Mesh, fragments: Fragments) -> Float32Array:
    """Unit normals in camera coordinates, background 0."""
    normals = interpolate(fragments, mesh.faces, vertex_normals(mesh.vertices, mesh.faces))
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals / np.maximum(length, 1e-9)


def _parts(mesh: Mesh, fragments: Fragments) -> Float32Array:
    """A colour per part of the body: that of the joint with the largest weight; background -1."""
    batch, row, column = np.nonzero(fragments.face >= 0)
    corners = mesh.faces[fragments.face[batch, row, column]]
    own = mesh.skinning.argmax(1)[corners]
    part = own[:, 0]
    on_border = (own != part[:, None]).any(1)
    weights = fragments.barycentric[batch, row, column][on_border]
    part[on_border] = np.einsum("nk,nkj->nj", weights, mesh.skinning[corners[on_border]]).argmax(1)
    colours = np.full((*fragments.face.shape, 3), -1, np.float32)
    colours[batch, row, column] = PART_COLOURS[part]
    return colours


def _grey(mesh: Mesh, fragments: Fragments) -> Float32Array:
    """A grey matt body under three lamps before white, as GCL's meshes are."""
    normals = _normals(mesh, fragments)
    lit = np.clip(normals @ LAMPS.T, 0, None) @ LAMP_STRENGTHS
    return np.where(fragments.face >= 0, 2 * (0.1 + 0.75 * lit) - 1, 1)[..., None]


def _painted(mesh: Mesh, fragments: Fragments) -> Float32Array:
    """The colours of the surface, and a silhouette as fourth channel; background -1."""
    assert mesh.colours is not None
    inside = (fragments.face >= 0)[..., None]
    drawn = interpolate(fragments, mesh.faces, mesh.colours)
    return np.where(inside, np.concatenate([drawn, np.ones_like(drawn[..., :1])], axis=-1), -1)


@dataclass(frozen=True)
class Kind:
    """A way to draw a body.

    Attributes:
        channels: Of a map.
        draw: From meshes and what is seen of them to maps, [B, H, W, C].
        background: All channels where there is no body.
    """

    channels: int
    draw: Callable[[Mesh, Fragments], Float32Array]
    background: float


MAP_KINDS: dict[str, Kind] = {
    "grey": Kind(1, _grey, 1),
    "depth": Kind(1, _depth, -1),
    "normals": Kind(3, _normals, 0),
    "parts": Kind(3, _parts, -1),
    "silhouette": Kind(1, _silhouette, -1),
    "painted": Kind(4, _painted, -1),
}
PAINTED = "painted"
"""The kind whose maps need the pictures that show the bodies."""


def _part_colours(count: int = 24) -> Float32Array:
    """Colours far apart: hues by the golden ratio, two saturations, two brightnesses."""
    colours = [
        colorsys.hsv_to_rgb((n * 0.618034) % 1, (1, 0.55)[n % 2], (1, 0.65)[n // 2 % 2])
        for n in range(count)
    ]
    return (2 * np.array(colours) - 1).astype(np.float32)


PART_COLOURS = _part_colours()
LAMPS = np.array([[-0.4, 0.4, 0.8], [0.7, 0.3, 0.65], [0, 0.9, -0.4]], np.float32)
LAMPS /= np.linalg.norm(LAMPS, axis=1, keepdims=True)
LAMP_STRENGTHS = np.array([0.6, 0.4, 0.2], np.float32)
