"""Generated views to look at: a sheet, or people who turn around."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow

from reid_gen.body.table import BodyTable
from reid_gen.data.images import save_image
from reid_gen.data.transforms import image_grid
from reid_gen.files import write_bytes
from reid_gen.generators.renderer import ViewRenderer
from reid_gen.types import Float32Array, Image, Uint8Array

STILL = (".png", ".jpg")
FRAMES = 36
MILLISECONDS = 80
"""Per frame of a turn."""


def draw_turns(
    renderer: ViewRenderer,
    images: Sequence[Image],
    table: BodyTable,
    degrees: Float32Array,
    out: Path,
) -> None:
    """Draw a sheet (a row per image: itself, then its views), or an animated turn of all images.

    Raises:
        UserError: If an image does not decode or has no body, or the file cannot be written.
    """
    if out.suffix.lower() in STILL:
        rows = [
            image_grid(torch.cat([pictures.unsqueeze(1), views], dim=1))
            for pictures, views in renderer.views(images, table, degrees)
        ]
        save_image(np.concatenate(rows), out)
        return
    turns = np.linspace(0, 360, FRAMES, endpoint=False, dtype=np.float32)
    shown = [views for _, views in renderer.views(images, table, turns)]
    side_by_side = torch.cat(shown).transpose(0, 1)
    frames = [image_grid(frame.unsqueeze(0)) for frame in side_by_side]
    write_bytes(out, _gif(frames) if out.suffix.lower() == ".gif" else _mp4(frames))


def _gif(frames: Sequence[Uint8Array]) -> bytes:
    pictures = [Pillow.fromarray(frame) for frame in frames]
    file = io.BytesIO()
    pictures[0].save(
        file, format="GIF", save_all=True, append_images=pictures[1:], duration=MILLISECONDS, loop=0
    )
    return file.getvalue()


def _mp4(frames: Sequence[Uint8Array]) -> bytes:
    import tempfile

    import imageio_ffmpeg

    height, width, _ = frames[0].shape
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "turn.mp4"
        writer = imageio_ffmpeg.write_frames(
            str(path), (width, height), fps=1000 / MILLISECONDS, macro_block_size=2
        )
        writer.send(None)
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
        return path.read_bytes()
