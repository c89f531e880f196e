"""Image files: the only place that opens or writes one."""

from __future__ import annotations

import io
import stat
import struct
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as Pillow

from reid_gen.errors import UserError, join_some
from reid_gen.files import write_bytes
from reid_gen.types import Uint8Array

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm"),
    "AVIF": (".avif",),
}
"""Formats that are read, by Pillow's names, with the file-name endings that are theirs."""
IMAGE_SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
"""File-name endings, in lower case, that count as images."""
MAX_PIXELS = 64_000_000
"""Of one image. A larger one would take half a gigabyte in each decoding thread."""
BACKGROUND = 255
"""Transparent pixels show white, as in a viewer."""

_Result = TypeVar("_Result")
_TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
"""What sets an image upright, by EXIF orientation."""
_SIDEWAYS = (5, 6, 7, 8)
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT, _WHITE_IS_ZERO = 258, 262, 339, 0
"""Tags of TIFF, and a value of the second."""
_DAMAGED_EXIF = (SyntaxError, ValueError, LookupError, TypeError, struct.error, OSError)

# MOST_PIXELS is below the size that Pillow warns of, and its warning would stand beside our error.
# Appended, so that a filter of the program around us has precedence.
warnings.filterwarnings("ignore", category=Pillow.DecompressionBombWarning, append=True)


class UnreadableImage(UserError):
    """A file that does not decode; carries its path and the reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} does not decode: {reason}; replace or remove it")
        self.path = path
        self.reason = reason


def decode(path: Path, height: int | None = None, width: int | None = None) -> Uint8Array:
    """Decode one file completely, set it upright and resize it.

    Args:
        path: A regular file in one of ``FORMATS``.
        height: Rows of the result; None keeps the file's own.
        width: Columns of the result; None keeps the file's own.

    Returns:
        RGB pixels in 0..255, [H, W, 3] uint8.

    Raises:
        UnreadableImage: If the file is missing, damaged, too large or no image, or if the values
            of its white and black are unknown.
    """

    def pixels(file: Pillow.Image) -> Uint8Array:
        picture = upright_rgb(file)
        size = (width or picture.width, height or picture.height)
        if picture.size != size:
            picture = picture.resize(size, Pillow.Resampling.BICUBIC)
        return np.asarray(picture)

    return _read(path, pixels)


def resize(pixels: Uint8Array, height: int, width: int) -> Uint8Array:
    """Resize decoded pixels [h, w, 3] as :func:`decode` does, to [H, W, 3]."""
    if pixels.shape[:2] == (height, width):
        return pixels
    picture = Pillow.fromarray(pixels)
    return np.asarray(picture.resize((width, height), Pillow.Resampling.BICUBIC))


def image_size(path: Path) -> tuple[int, int]:
    """Rows and columns of an upright image, from its header.

    Raises:
        UnreadableImage: If the file is missing, too large or no image.
    """

    def size(file: Pillow.Image) -> tuple[int, int]:
        # Pillow gives the size of a TIFF file as it is after turning, and of other formats before.
        turned = not hasattr(file, "tag_v2") and _orientation(file) in _SIDEWAYS
        return (file.width, file.height) if turned else (file.height, file.width)

    return _read(path, size)


def upright_rgb(picture: Pillow.Image) -> Pillow.Image:
    """Turn a picture as its EXIF orientation says and give it 8 bits per colour.

    16-bit grey is divided by the greatest value that its bits can hold, 257 times less (12 bits: 16
    times less). Transparent pixels are laid over white.

    Args:
        picture: In any of Pillow's modes.

    Raises:
        ValueError: If its values have no known white and black, or it holds several pictures.
    """
    # The pictures beside the first of an MPO file, which phones write, are previews of it.
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise ValueError("it holds several pictures, and one per file is read")
    picture.load()
    turn = _TURNS.get(_orientation(picture))
    if picture.mode != "RGB" or picture.has_transparency_data:
        picture = _to_rgb(picture)
    return picture if turn is None else picture.transpose(turn)


def _to_rgb(picture: Pillow.Image) -> Pillow.Image:
    tags = getattr(picture, "tag_v2", {})
    if picture.mode.startswith(("I", "F")) or set(tags.get(_SAMPLE_FORMAT, (1,))) != {1}:
        picture = _grey(picture, tags)
    if picture.has_transparency_data:
        opaque = Pillow.new("RGBA", picture.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
        straight = picture.convert("LA") if picture.mode == "La" else picture
        picture = Pillow.alpha_composite(opaque, straight.convert("RGBA"))
    return picture.convert("RGB")


def _grey(picture: Pillow.Image, tags: Mapping[int, Any]) -> Pillow.Image:
    """Grey of more than 8 bits in 8, by the greatest value that its bits can hold."""
    if ";16" not in picture.mode and (picture.mode, picture.format) != ("I", "PPM"):
        raise ValueError(
            f"black and white are unknown for signed numbers and fractions (mode {picture.mode}), "
            "and known for 8 bits and 16-bit grey"
        )
    white = 2 ** tags.get(_BITS_PER_SAMPLE, (16,))[0] - 1
    shades = ((np.arange(white + 1) * 255 + white // 2) // white).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        shades = shades[::-1].copy()
    if "transparency" in picture.info:
        shades[picture.info["transparency"]] = BACKGROUND
    return Pillow.fromarray(shades[np.asarray(picture)])


def _read(path: Path, read: Callable[[Pillow.Image], _Result]) -> _Result:
    """What a function makes of a file; its errors and those of opening become one kind."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("it is no regular file")
        with Pillow.open(path, formats=tuple(FORMATS)) as file:
            if file.width * file.height > MAX_PIXELS:
                raise Pillow.DecompressionBombError
            return read(file)
    except UnidentifiedImageError as error:
        raise UnreadableImage(path, f"it is none of {', '.join(FORMATS)}") from error
    except Pillow.DecompressionBombError as error:
        raise UnreadableImage(path, f"it has more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # a damaged file can end in any error of its decoder
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UnreadableImage(path, reason) from error


def _orientation(picture: Pillow.Image) -> int:
    """EXIF orientation, 1 if there is none."""
    try:
        orientation: int = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except _DAMAGED_EXIF:
        return 1
    return orientation


def save_image(pixels: Uint8Array, path: Path) -> None:
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
    names = join_some([failure.path.name for failure in failures], most=3)
    return UserError(
        f"{len(failures)} image(s) do not decode: {names}; replace or remove them\n{listed}"
    )
