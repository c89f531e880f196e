"""Contact sheets of generated views, and animations of people rotating in front of the camera."""

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

SHEET_SUFFIXES = (".png", ".jpg")
FRAMES = 36
"""Number of frames of a full rotation."""
FRAME_MS = 80
"""Duration of a frame in milliseconds."""


def write_views(
    renderer: ViewRenderer,
    images: Sequence[Image],
    table: BodyTable,
    degrees: Float32Array,
    out: Path,
) -> None:
    """Write generated views as a contact sheet or as an animation.

    Args:
        renderer: Renderer that generates the views.
        images: Source images.
        table: Estimated bodies of the images.
        degrees: Rotations of the bodies in degrees, [V]; used by contact sheets only.
        out: ``.png`` or ``.jpg`` for a contact sheet with a row per image (the image, then its
            views); ``.gif`` or ``.mp4`` for a full rotation of all people side by side.

    Raises:
        UserError: If an image does not decode or has no body, or the file cannot be written.
    """
    if out.suffix.lower() in SHEET_SUFFIXES:
        rows = [
            image_grid(torch.cat([sources.unsqueeze(1), views], dim=1))
            for sources, views in renderer.views(images, table, degrees)
        ]
        save_image(np.concatenate(rows), out)
        return
    rotation = np.linspace(0, 360, FRAMES, endpoint=False, dtype=np.float32)
    views_by_batch = [views for _, views in renderer.views(images, table, rotation)]
    side_by_side = torch.cat(views_by_batch).transpose(0, 1)  # [FRAMES, N, 3, H, W]
    frames = [image_grid(frame.unsqueeze(0)) for frame in side_by_side]
    write_bytes(out, _encode_gif(frames) if out.suffix.lower() == ".gif" else _encode_mp4(frames))


def _encode_gif(frames: Sequence[Uint8Array]) -> bytes:
    images = [Pillow.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    images[0].save(
        buffer, format="GIF", save_all=True, append_images=images[1:], duration=FRAME_MS, loop=0
    )
    return buffer.getvalue()


def _encode_mp4(frames: Sequence[Uint8Array]) -> bytes:
    import tempfile

    import imageio_ffmpeg

    height, width, _ = frames[0].shape
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rotation.mp4"
        writer = imageio_ffmpeg.write_frames(
            str(path), (width, height), fps=1000 / FRAME_MS, macro_block_size=2
        )
        writer.send(None)
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
        return path.read_bytes()
