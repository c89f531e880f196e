"""What mesh recovery saw: crops, bodies laid over them, and the bodies from eight sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import project, turned, upright
from reid_gen.body.model import BodyModel
from reid_gen.body.structure import Mesh, draw_structure
from reid_gen.body.table import BodyTable
from reid_gen.data.images import decode
from reid_gen.types import Floats, Image, Pixels

HEIGHT, WIDTH = 128, 64
TURNS = np.arange(0, 360, 45, dtype=np.float32)


def bodies_sheet(
    images: Sequence[Image], table: BodyTable, model: BodyModel, rows: int = 20
) -> Pixels:
    """A row per image: crop, overlay, eight turns, [rows * H, 10 * W, 3].

    Args:
        images: Of a split.
        table: Their bodies.
        model: What the table's parameters are of.
        rows: Images, evenly spread over the split.

    Raises:
        UserError: If the table has no row for an image.
    """
    places = np.unique(np.linspace(0, len(images) - 1, min(rows, len(images))).astype(int))
    chosen = [images[place] for place in places]
    part = table.of([image.key for image in chosen])
    return np.concatenate([_row(image, part, model, row) for row, image in enumerate(chosen)])


def _row(image: Image, table: BodyTable, model: BodyModel, row: int) -> Pixels:
    crop = decode(image.path, HEIGHT, WIDTH)
    turns = _turns(table, model, row)
    body = _shown(draw_structure(turns, "parts", HEIGHT, WIDTH)[:1])[0]
    inside = draw_structure(turns, "silhouette", HEIGHT, WIDTH)[0, 0] > 0
    overlay = crop.copy()
    overlay[inside] = crop[inside] // 2 + body[inside] // 2
    grey = _shown(np.repeat(draw_structure(turns, "grey", HEIGHT, WIDTH), 3, axis=1))
    return np.concatenate([crop, overlay, *grey], axis=1)


def _turns(table: BodyTable, model: BodyModel, row: int) -> Mesh:
    rotation = Rotation.from_rotvec(table.pose[row]).as_matrix()[None].astype(np.float32)
    with torch.no_grad():
        posed = model(torch.from_numpy(rotation), torch.from_numpy(table.shape[row : row + 1]))
    body = np.repeat((posed.vertices - posed.joints[:, :1]).numpy(), len(TURNS), axis=0)
    up = np.repeat(upright(table.pose[row : row + 1]), len(TURNS), axis=0)
    vertices = turned(body, TURNS, up)
    camera = np.repeat(table.camera[row : row + 1], len(TURNS), axis=0)
    size = np.repeat(table.size[row : row + 1], len(TURNS), axis=0)
    screen = project(vertices, camera, HEIGHT, WIDTH, size)
    return Mesh(vertices, screen, model.faces, model.arrays.skinning)


def _shown(maps: Floats) -> Pixels:
    """Maps [B, 3, H, W] in -1..1 as display colours [B, H, W, 3]."""
    return np.moveaxis(np.round((maps + 1) * 127.5), 1, -1).astype(np.uint8)
