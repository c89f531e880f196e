"""From decoded pixels to images, with or without random augmentation, whole batches at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid_gen.types import Int64Array, Uint8Array

Values = TypeVar("Values", bound=NDArray[np.generic])


def to_images(pixels: Uint8Array) -> Tensor:
    """Turn pixels [B, H, W, 3] in 0..255 into images [B, 3, H, W] in 0..1, channels last."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32).div_(255)


def to_pixels(images: Tensor) -> Uint8Array:
    """Turn images [B, 3, H, W], about 0..1, into pixels [B, H, W, 3] in 0..255."""
    pixels = images.detach().clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return np.ascontiguousarray(pixels.cpu().numpy())


def as_sheet(images: Tensor) -> Uint8Array:
    """Lay images [R, V, 3, H, W], about 0..1, out in rows: pixels [R H, V W, 3]."""
    rows, columns, _, height, width = images.shape
    flat = images.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, 3)
    return flat.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()


@dataclass(frozen=True)
class Changes:
    """Random changes of one batch, drawn.

    Attributes:
        mirrored: Which images are, [B].
        rows: Row of the padded image that each row comes from, [B, H].
        columns: Column likewise, mirrored where the image is, [B, W].
        pad: Width of the padding.
        erased: Where a rectangle is filled, [B, H, W].
        fill: RGB of it in 0..255, [3].
    """

    mirrored: NDArray[np.bool_]
    rows: Int64Array
    columns: Int64Array
    pad: int
    erased: NDArray[np.bool_]
    fill: Uint8Array

    def apply(self, pixels: Uint8Array) -> Uint8Array:
        """Change images [B, H, W, 3]."""
        around = ((0, 0), (self.pad, self.pad), (self.pad, self.pad), (0, 0))
        padded = np.pad(pixels, around)
        image = np.arange(len(pixels))[:, None, None]
        moved = padded[image, self.rows[:, :, None], self.columns[:, None, :]]
        moved[self.erased] = self.fill
        return moved

    def mirror(self, pictures: Values, batch_index: Int64Array) -> Values:
        """Mirror pictures [b, H, W, C] of some images as those are, and change nothing else."""
        mirrored = self.mirrored[batch_index, None, None, None]
        return cast(Values, np.where(mirrored, pictures[:, :, ::-1], pictures))

    def opposite(self, pixels: Uint8Array) -> Uint8Array:
        """Mirror those of the images [B, H, W, 3] that these changes do not, and no more."""
        return np.where(self.mirrored[:, None, None, None], pixels, pixels[:, :, ::-1])


@dataclass(frozen=True)
class Augmentation:
    """The field's three: flip, pad and crop, random erasing (Zhong et al., AAAI 2020).

    Attributes:
        flip: Probability of mirroring left and right.
        pad: Black pixels added on every side before an image-sized crop.
        erase: Probability of filling a rectangle of 2 to 40 % of the area, aspect 0.3 to 3.3.
        fill: RGB in 0..1 of that rectangle; the mean of the encoder's input makes it 0 there.
    """

    flip: float
    pad: int
    erase: float
    fill: tuple[float, float, float]

    def draw(self, size: int, height: int, width: int, rng: np.random.Generator) -> Changes:
        """Draw changes for ``size`` images of ``height`` x ``width`` pixels."""
        rows = self._offsets(rng, size) + np.arange(height)
        columns = self._offsets(rng, size) + np.arange(width)
        mirrored = rng.random(size) < self.flip
        columns[mirrored] = columns[mirrored, ::-1]
        erased = _rectangles(rng, size, height, width)
        erased &= rng.random((size, 1, 1)) < self.erase
        fill = np.round(np.array(self.fill) * 255).astype(np.uint8)
        return Changes(mirrored, rows, columns, self.pad, erased, fill)

    @property
    def moves_or_erases(self) -> bool:
        """Whether images are changed by more than mirroring."""
        return self.pad > 0 or self.erase > 0

    def _offsets(self, rng: np.random.Generator, size: int) -> Int64Array:
        return rng.integers(0, 2 * self.pad + 1, (size, 1))


def _rectangles(rng: np.random.Generator, size: int, height: int, width: int) -> NDArray[np.bool_]:
    """A random rectangle per image, [B, H, W]; its sides are capped at the image's."""
    area = rng.uniform(0.02, 0.4, size) * height * width
    aspect = np.exp(rng.uniform(np.log(0.3), np.log(1 / 0.3), size))
    tall = np.sqrt(area * aspect).round().clip(1.0, height)
    wide = np.sqrt(area / aspect).round().clip(1.0, width)
    top = np.floor(rng.random(size) * (height - tall + 1))
    left = np.floor(rng.random(size) * (width - wide + 1))
    in_rows = _between(np.arange(height), top, tall)
    in_columns = _between(np.arange(width), left, wide)
    return in_rows[:, :, None] & in_columns[:, None, :]


def _between(
    place: Int64Array, start: NDArray[np.float64], length: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether each place lies in [start, start + length), [B, places]."""
    return (place >= start[:, None]) & (place < (start + length)[:, None])
