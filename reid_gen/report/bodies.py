"""Contact sheet of estimated bodies: the crop, its body overlay and eight rotations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reid_gen.body.model import BodyModel
from reid_gen.body.render.body_maps import BodyMapRenderer
from reid_gen.body.render.rasterise import Rasteriser, rasterise
from reid_gen.body.table import BodyTable
from reid_gen.data.images import decode
from reid_gen.data.sampling import evenly_spaced_indices
from reid_gen.types import Float32Array, Image, Uint8Array

HEIGHT, WIDTH = 128, 64
ROTATIONS = np.arange(0, 360, 45, dtype=np.float32)
"""Rotations of the bodies about the vertical axis in degrees."""


def bodies_sheet(
    images: Sequence[Image],
    table: BodyTable,
    model: BodyModel,
    rasteriser: Rasteriser = rasterise,
    rows: int = 20,
) -> Uint8Array:
    """Draw a row per image: crop, overlay and eight rotations; RGB, [rows * H, 10 * W, 3].

    Args:
        images: Images of a split.
        table: Estimated bodies of the images.
        model: Body model that the parameters in the table belong to.
        rasteriser: Function that rasterises the meshes.
        rows: Maximum number of images, evenly spaced over the split.

    Raises:
        UserError: If the table has no row for an image.
    """
    sample = evenly_spaced_indices(len(images), rows)
    maps = BodyMapRenderer(table, model, HEIGHT, WIDTH, rasteriser)
    return np.concatenate([_row(images[index], maps) for index in sample])


def _row(image: Image, maps: BodyMapRenderer) -> Uint8Array:
    crop = decode(image.path, HEIGHT, WIDTH)
    unrotated = ([image.key], ROTATIONS[:1])
    all_rotations = ([image.key] * len(ROTATIONS), ROTATIONS)
    body = _to_rgb(maps("parts", *unrotated))[0]
    silhouette = maps("silhouette", *unrotated)[0, 0] > 0
    overlay = crop.copy()
    overlay[silhouette] = crop[silhouette] // 2 + body[silhouette] // 2
    grey = _to_rgb(np.repeat(maps("grey", *all_rotations), 3, axis=1))
    return np.concatenate([crop, overlay, *grey], axis=1)


def _to_rgb(maps: Float32Array) -> Uint8Array:
    """Convert maps [B, 3, H, W] in -1..1 to RGB pixels [B, H, W, 3]."""
    return np.moveaxis(np.round((maps + 1) * 127.5), 1, -1).astype(np.uint8)
