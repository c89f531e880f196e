"""What mesh recovery saw: crops, bodies laid over them, and the bodies from eight sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reid_gen.body.model import BodyModel
from reid_gen.body.render.rasterise import Rasteriser, rasterise
from reid_gen.body.render.structure_maps import BodyMapRenderer
from reid_gen.body.table import BodyTable
from reid_gen.data.images import decode
from reid_gen.data.sampling import evenly_spaced_indices
from reid_gen.types import Float32Array, Image, Uint8Array

HEIGHT, WIDTH = 128, 64
TURNS = np.arange(0, 360, 45, dtype=np.float32)


def bodies_sheet(
    images: Sequence[Image],
    table: BodyTable,
    model: BodyModel,
    rasteriser: Rasteriser = rasterise,
    rows: int = 20,
) -> Uint8Array:
    """A row per image: crop, overlay, eight turns, [rows * H, 10 * W, 3].

    Args:
        images: Of a split.
        table: Their bodies.
        model: What the table's parameters are of.
        rasteriser: Draws the bodies.
        rows: Images, evenly spread over the split.

    Raises:
        UserError: If the table has no row for an image.
    """
    places = evenly_spaced_indices(len(images), rows)
    maps = BodyMapRenderer(table, model, HEIGHT, WIDTH, rasteriser)
    return np.concatenate([_row(images[place], maps) for place in places])


def _row(image: Image, maps: BodyMapRenderer) -> Uint8Array:
    crop = decode(image.path, HEIGHT, WIDTH)
    unturned, all_turns = ([image.key], TURNS[:1]), ([image.key] * len(TURNS), TURNS)
    body = _shown(maps("parts", *unturned))[0]
    inside = maps("silhouette", *unturned)[0, 0] > 0
    overlay = crop.copy()
    overlay[inside] = crop[inside] // 2 + body[inside] // 2
    grey = _shown(np.repeat(maps("grey", *all_turns), 3, axis=1))
    return np.concatenate([crop, overlay, *grey], axis=1)


def _shown(maps: Float32Array) -> Uint8Array:
    """Maps [B, 3, H, W] in -1..1 as display colours [B, H, W, 3]."""
    return np.moveaxis(np.round((maps + 1) * 127.5), 1, -1).astype(np.uint8)
