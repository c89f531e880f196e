"""Conversion between pixels and image tensors, and random augmentation of whole batches."""

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
    """Convert pixels [B, H, W, 3] in 0..255 to images [B, 3, H, W] in 0..1, channels last."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32).div_(255)


def to_pixels(images: Tensor) -> Uint8Array:
    """Convert images [B, 3, H, W], clamped to 0..1, to pixels [B, H, W, 3] in 0..255."""
    pixels = images.detach().clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return np.ascontiguousarray(pixels.cpu().numpy())


def image_grid(images: Tensor) -> Uint8Array:
    """Tile images [R, V, 3, H, W], clamped to 0..1, into a grid of pixels [R H, V W, 3]."""
    rows, columns, _, height, width = images.shape
    flat = images.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, 3)
    return flat.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()


@dataclass(frozen=True)
class AugmentationParams:
    """Sampled augmentation parameters of one batch.

    Attributes:
        flipped: Whether each image is flipped left to right, [B].
        rows: Row of the padded image that each output row is read from, [B, H].
        columns: Column of the padded image that each output column is read from, [B, W]; in
            reverse order where the image is flipped.
        pad: Width of the padding in pixels.
        erased: Mask of the erased rectangle, [B, H, W].
        fill: RGB in 0..255 of the erased rectangle, [3].
    """

    flipped: NDArray[np.bool_]
    rows: Int64Array
    columns: Int64Array
    pad: int
    erased: NDArray[np.bool_]
    fill: Uint8Array

    def apply(self, pixels: Uint8Array) -> Uint8Array:
        """Flip, crop and erase images [B, H, W, 3]."""
        margins = ((0, 0), (self.pad, self.pad), (self.pad, self.pad), (0, 0))
        padded = np.pad(pixels, margins)
        image = np.arange(len(pixels))[:, None, None]
        augmented = padded[image, self.rows[:, :, None], self.columns[:, None, :]]
        augmented[self.erased] = self.fill
        return augmented

    def flip_maps(self, maps: Values, batch_index: Int64Array) -> Values:
        """Flip maps [b, H, W, C] where their images are flipped; do not crop or erase them.

        Args:
            maps: Images or condition maps that belong to some images of the batch.
            batch_index: Index of the image that each map belongs to, [b].
        """
        flipped = self.flipped[batch_index, None, None, None]
        return cast(Values, np.where(flipped, maps[:, :, ::-1], maps))

    def flip_unflipped(self, pixels: Uint8Array) -> Uint8Array:
        """Flip the images [B, H, W, 3] that :meth:`apply` does not; do not crop or erase them."""
        return np.where(self.flipped[:, None, None, None], pixels, pixels[:, :, ::-1])


@dataclass(frozen=True)
class Augmentation:
    """Standard re-ID augmentation: flip, pad and crop, random erasing (Zhong et al., AAAI 2020).

    Attributes:
        flip: Probability of a horizontal flip.
        pad: Black pixels added on every side before a crop of the image's size.
        erase: Probability of erasing a rectangle of 2 to 40 % of the area, aspect 0.3 to 3.3.
        fill: RGB in 0..1 of the rectangle; the encoder's input mean, so that it is 0 after
            normalisation.
    """

    flip: float
    pad: int
    erase: float
    fill: tuple[float, float, float]

    def sample(
        self, size: int, height: int, width: int, rng: np.random.Generator
    ) -> AugmentationParams:
        """Sample parameters for ``size`` images of ``height`` x ``width`` pixels."""
        rows = self._crop_offsets(rng, size) + np.arange(height)
        columns = self._crop_offsets(rng, size) + np.arange(width)
        flipped = rng.random(size) < self.flip
        columns[flipped] = columns[flipped, ::-1]
        erased = _random_rectangles(rng, size, height, width)
        erased &= rng.random((size, 1, 1)) < self.erase
        fill = np.round(np.array(self.fill) * 255).astype(np.uint8)
        return AugmentationParams(flipped, rows, columns, self.pad, erased, fill)

    @property
    def changes_more_than_flip(self) -> bool:
        """Whether images are also cropped or erased, not only flipped."""
        return self.pad > 0 or self.erase > 0

    def _crop_offsets(self, rng: np.random.Generator, size: int) -> Int64Array:
        return rng.integers(0, 2 * self.pad + 1, (size, 1))


def _random_rectangles(
    rng: np.random.Generator, size: int, height: int, width: int
) -> NDArray[np.bool_]:
    """Sample the mask of one rectangle per image, [B, H, W]; sides are clipped to the image."""
    area = rng.uniform(0.02, 0.4, size) * height * width
    aspect = np.exp(rng.uniform(np.log(0.3), np.log(1 / 0.3), size))
    rectangle_height = np.sqrt(area * aspect).round().clip(1.0, height)
    rectangle_width = np.sqrt(area / aspect).round().clip(1.0, width)
    top = np.floor(rng.random(size) * (height - rectangle_height + 1))
    left = np.floor(rng.random(size) * (width - rectangle_width + 1))
    in_rows = _in_interval(np.arange(height), top, rectangle_height)
    in_columns = _in_interval(np.arange(width), left, rectangle_width)
    return in_rows[:, :, None] & in_columns[:, None, :]


def _in_interval(
    positions: Int64Array, start: NDArray[np.float64], length: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether each of P positions lies in each of B intervals [start, start + length), [B, P]."""
    return (positions >= start[:, None]) & (positions < (start + length)[:, None])
