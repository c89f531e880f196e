"""Decoding and writing of image files; no other module opens one."""

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
"""Supported formats by Pillow's name, with their file suffixes."""
IMAGE_SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
"""File suffixes of images, in lower case."""
MAX_PIXELS = 64_000_000
"""Largest image in pixels; a larger one would take half a gigabyte in each decoding thread."""
BACKGROUND = 255
"""Value of the white that transparent pixels are blended with, as in an image viewer."""

_Result = TypeVar("_Result")
_EXIF_TRANSPOSE = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
"""EXIF orientation -> operation that sets the image upright."""
_EXIF_SWAPS_SIDES = (5, 6, 7, 8)
"""EXIF orientations that swap height and width."""
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT, _WHITE_IS_ZERO = 258, 262, 339, 0
"""TIFF tags, and the value of the photometric tag for which 0 is white."""
_DAMAGED_EXIF_ERRORS = (SyntaxError, ValueError, LookupError, TypeError, struct.error, OSError)

# MAX_PIXELS is below the size that Pillow warns about, so its warning would only repeat our error.
# The filter is appended so that a filter of the calling program has precedence.
warnings.filterwarnings("ignore", category=Pillow.DecompressionBombWarning, append=True)


class UnreadableImage(UserError):
    """An image file that cannot be decoded.

    Args:
        path: The file.
        reason: Why it cannot be decoded.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} does not decode: {reason}; replace or remove it")
        self.path = path
        self.reason = reason


def decode(path: Path, height: int | None = None, width: int | None = None) -> Uint8Array:
    """Decode an image file, apply its EXIF orientation and resize it (bicubic).

    Args:
        path: A regular file in one of ``FORMATS``.
        height: Height of the result in pixels; None keeps the file's height.
        width: Width of the result in pixels; None keeps the file's width.

    Returns:
        RGB pixels in 0..255, [H, W, 3] uint8.

    Raises:
        UnreadableImage: If the file is missing, damaged, too large or no image, or if the values
            of its white and black are unknown.
    """

    def decode_open(file: Pillow.Image) -> Uint8Array:
        image = upright_rgb(file)
        size = (width or image.width, height or image.height)
        if image.size != size:
            image = image.resize(size, Pillow.Resampling.BICUBIC)
        return np.asarray(image)

    return _read(path, decode_open)


def resize(pixels: Uint8Array, height: int, width: int) -> Uint8Array:
    """Resize decoded pixels [h, w, 3] to [H, W, 3], as :func:`decode` does."""
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Pillow.fromarray(pixels)
    return np.asarray(image.resize((width, height), Pillow.Resampling.BICUBIC))


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image after its EXIF orientation, read from the file's header.

    Raises:
        UnreadableImage: If the file is missing, too large or no image.
    """

    def upright_size(file: Pillow.Image) -> tuple[int, int]:
        # Pillow reports the size of TIFF files after the rotation and of other formats before it.
        swap = not hasattr(file, "tag_v2") and _orientation(file) in _EXIF_SWAPS_SIDES
        return (file.width, file.height) if swap else (file.height, file.width)

    return _read(path, upright_size)


def upright_rgb(image: Pillow.Image) -> Pillow.Image:
    """Apply the EXIF orientation of an image and convert it to 8-bit RGB.

    Grey of more than 8 bits is scaled by the largest value of its bit depth: 16-bit values are
    divided by 257, 12-bit values by 16. Transparent pixels are blended with white.

    Args:
        image: Image in any of Pillow's modes.

    Raises:
        ValueError: If the values of black and white are unknown, or there are several frames.
    """
    # Phones write MPO files, whose further frames are previews of the first.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ValueError("it holds several images, and a file must hold one")
    image.load()
    transpose = _EXIF_TRANSPOSE.get(_orientation(image))
    if image.mode != "RGB" or image.has_transparency_data:
        image = _to_rgb(image)
    return image if transpose is None else image.transpose(transpose)


def _to_rgb(image: Pillow.Image) -> Pillow.Image:
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith(("I", "F")) or set(tags.get(_SAMPLE_FORMAT, (1,))) != {1}:
        image = _to_8_bit_grey(image, tags)
    if image.has_transparency_data:
        background = Pillow.new("RGBA", image.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
        straight_alpha = image.convert("LA") if image.mode == "La" else image
        image = Pillow.alpha_composite(background, straight_alpha.convert("RGBA"))
    return image.convert("RGB")


def _to_8_bit_grey(image: Pillow.Image, tags: Mapping[int, Any]) -> Pillow.Image:
    """Scale grey of more than 8 bits to 8 bits by the largest value of its bit depth."""
    if ";16" not in image.mode and (image.mode, image.format) != ("I", "PPM"):
        raise ValueError(
            f"black and white are unknown for signed numbers and fractions (mode {image.mode}); "
            "save it with 8 bits per channel or as 16-bit grey"
        )
    white = 2 ** tags.get(_BITS_PER_SAMPLE, (16,))[0] - 1
    lookup = ((np.arange(white + 1) * 255 + white // 2) // white).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        lookup = lookup[::-1].copy()
    if "transparency" in image.info:
        lookup[image.info["transparency"]] = BACKGROUND
    return Pillow.fromarray(lookup[np.asarray(image)])


def _read(path: Path, read: Callable[[Pillow.Image], _Result]) -> _Result:
    """Open a file and return ``read`` of it; all errors become :class:`UnreadableImage`."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("it is not a regular file")
        with Pillow.open(path, formats=tuple(FORMATS)) as file:
            if file.width * file.height > MAX_PIXELS:
                raise Pillow.DecompressionBombError
            return read(file)
    except UnidentifiedImageError as error:
        raise UnreadableImage(path, f"its format is none of {', '.join(FORMATS)}") from error
    except Pillow.DecompressionBombError as error:
        raise UnreadableImage(path, f"it has more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # decoders raise almost anything for a damaged file
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        reason = reason or type(error).__name__
        raise UnreadableImage(path, reason) from error


def _orientation(image: Pillow.Image) -> int:
    """EXIF orientation; 1 (upright) if it is missing or damaged."""
    try:
        orientation: int = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _DAMAGED_EXIF_ERRORS:
        return 1
    return orientation


def save_image(pixels: Uint8Array, path: Path) -> None:
    """Write RGB pixels [H, W, 3] as a PNG or JPEG file.

    Raises:
        UserError: If the suffix is another one, or the file cannot be written.
    """
    kind = {".png": "PNG", ".jpg": "JPEG"}.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"{path}: images are written as .png or .jpg; give a name ending in one")
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, format=kind, quality=90)
    write_bytes(path, file.getvalue())


def unreadable_error(failures: list[UnreadableImage]) -> UserError:
    """Make one error for all files that cannot be decoded, listing their paths."""
    reasons = {failure.path: failure.reason for failure in failures}  # a batch may repeat an image
    listed = "\n".join(f"  {path}: {reason}" for path, reason in reasons.items())
    names = join_some([path.name for path in reasons], limit=3)
    return UserError(
        f"{len(reasons)} image(s) do not decode: {names}; replace or remove them\n{listed}"
    )
