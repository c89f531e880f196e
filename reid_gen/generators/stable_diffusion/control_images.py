"""Control images: renderings of a body in the styles that control networks were trained on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reid_gen.body.arrays import BodyArrays
from reid_gen.body.render.map_kinds import Mesh, render_body_maps
from reid_gen.body.render.openpose import draw_skeletons
from reid_gen.types import Uint8Array

ControlImage = Callable[[Mesh, BodyArrays, int, int], Uint8Array]
"""Renders B meshes of a body model at a height and width, RGB [B, H, W, 3]."""


def _depth(mesh: Mesh, arrays: BodyArrays, height: int, width: int) -> Uint8Array:
    """Render depth in the style of MiDaS: near is white, far dark, the background black."""
    maps = render_body_maps(mesh, "depth", height, width)
    return _to_pixels(np.repeat(maps, 3, axis=1))


def _normal(mesh: Mesh, arrays: BodyArrays, height: int, width: int) -> Uint8Array:
    """Render normals in the style of NormalBae: red is left, green up, blue towards the camera.

    The background is black.
    """
    normals = render_body_maps(mesh, "normals", height, width) * np.array([-1, 1, 1])[:, None, None]
    inside = np.abs(normals).sum(1, keepdims=True) > 0
    return _to_pixels(np.where(inside, normals, -1))


def _to_pixels(maps: np.ndarray) -> Uint8Array:
    """Convert maps in -1..1, [B, C, H, W], to pixels in 0..255, [B, H, W, C]."""
    return np.moveaxis((255 * (maps + 1) / 2).round().clip(0, 255), 1, -1).astype(np.uint8)


CONTROL_IMAGES: dict[str, ControlImage] = {
    "openpose": draw_skeletons,
    "depth": _depth,
    "normal": _normal,
}
