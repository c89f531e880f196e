"""Image files: the only place that opens or writes one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from reid_gen.errors import UserError, name_some
from reid_gen.files import write_bytes
from reid_gen.types import Pixels

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
"""File-name endings, in lower case, that count as images."""


class UnreadableImage(Exception):
    """A file that does not decode; carries its path and the decoder's reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def decode(path: Path, height: int | None = None, width: int | None = None) -> Pixels:
    """Decode one file completely and resize it.

    Args:
        path: A file with one of ``SUFFIXES``.
        height: Rows of the result; None keeps the file's own.
        width: Columns of the result; None keeps the file's own.

    Returns:
        RGB pixels in 0..255, [H, W, 3] uint8.

    Raises:
        UnreadableImage: If the file is missing, truncated or no image.
    """
    try:
        with Pillow.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise UnreadableImage(path, str(error).split("\n")[0]) from error
    size = (width or picture.width, height or picture.height)
    if picture.size != size:
        picture = picture.resize(size, Pillow.Resampling.BICUBIC)
    return np.asarray(picture)


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resize decoded pixels [h, w, 3] as :func:`decode` does, to [H, W, 3]."""
    if pixels.shape[:2] == (height, width):
        return pixels
    picture = Pillow.fromarray(pixels)
    return np.asarray(picture.resize((width, height), Pillow.Resampling.BICUBIC))


def size_of(path: Path) -> tuple[int, int]:
    """Rows and columns of an image, from its header.

    Raises:
        UnreadableImage: If the file is missing or no image.
    """
    try:
        with Pillow.open(path) as file:
            return file.height, file.width
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise UnreadableImage(path, str(error).split("\n")[0]) from error


def save_picture(pixels: Pixels, path: Path) -> None:
    """Write display colours [h, w, 3] as a PNG or JPEG file.

    Raises:
        UserError: If the name ends otherwise, or the file cannot be written.
    """
    kind = {".png": "PNG", ".jpg": "JPEG"}.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"{path}: pictures are .png or .jpg; give a name that ends so")
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, format=kind, quality=90)
    write_bytes(path, file.getvalue())


def unreadable_error(failures: list[UnreadableImage]) -> UserError:
    """One error for all the files that did not decode, listed by path."""
    listed = "\n".join(f"  {failure.path}: {failure.reason}" for failure in failures)
    names = name_some([failure.path.name for failure in failures], most=3)
    return UserError(
        f"{len(failures)} image(s) do not decode: {names}; replace or remove them\n{listed}"
    )
