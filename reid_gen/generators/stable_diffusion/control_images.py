"""What controlled diffusion models are shown of a body."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reid_gen.body.arrays import BodyArrays
from reid_gen.body.render.map_kinds import Mesh, render_body_maps
from reid_gen.body.render.openpose import draw_skeletons
from reid_gen.types import Uint8Array

Condition = Callable[[Mesh, BodyArrays, int, int], Uint8Array]
"""From B bodies of a model to pictures, [B, H, W, 3]."""


def _depth(mesh: Mesh, arrays: BodyArrays, height: int, width: int) -> Uint8Array:
    """Near is white, far dark, as MiDaS draws it; the background is black."""
    drawn = render_body_maps(mesh, "depth", height, width)
    return _pixels(np.repeat(drawn, 3, axis=1))


def _normal(mesh: Mesh, arrays: BodyArrays, height: int, width: int) -> Uint8Array:
    """Red is left, green up and blue towards the camera, as NormalBae draws it; no body, no red."""
    drawn = render_body_maps(mesh, "normals", height, width) * np.array([-1, 1, 1])[:, None, None]
    there = np.abs(drawn).sum(1, keepdims=True) > 0
    return _pixels(np.where(there, drawn, -1))


def _pixels(drawn: np.ndarray) -> Uint8Array:
    """From -1..1, [B, C, H, W], to 0..255, [B, H, W, C]."""
    return np.moveaxis((255 * (drawn + 1) / 2).round().clip(0, 255), 1, -1).astype(np.uint8)


CONDITIONS: dict[str, Condition] = {
    "openpose": draw_skeletons,
    "depth": _depth,
    "normal": _normal,
}
