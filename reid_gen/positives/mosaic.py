"""Mosaics of crops of an image (CLIC, arXiv 2408.03230)."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from reid_gen.types import Uint8Array

SCALES = (3, 6, 12)
"""Ratios of image to crop size: c, 2 c and 4 c with the authors' c of 3."""


def mosaic(pixels: Uint8Array, rng: np.random.Generator) -> Uint8Array:
    """Arrange two small random crops and their flipped copies in a 2 x 2 grid, in random order.

    Crops keep the image's aspect ratio, not CLIC's square, because people are tall.

    Args:
        pixels: Image in 0..255, [H, W, 3].
        rng: Random number generator.

    Returns:
        Mosaic in 0..255, [H, W, 3].
    """
    height, width = pixels.shape[:2]
    scale = int(rng.choice(SCALES))
    crop_height, crop_width = max(1, height // scale), max(1, width // scale)
    crops = []
    for _ in range(2):
        top, left = rng.integers(height - crop_height + 1), rng.integers(width - crop_width + 1)
        crop = pixels[top : top + crop_height, left : left + crop_width]
        crops += [crop, crop[:, ::-1]]
    row_edges, column_edges = (0, height // 2, height), (0, width // 2, width)
    result = np.empty_like(pixels)
    for tile, number in enumerate(rng.permutation(4)):
        row, column = divmod(tile, 2)
        rows = slice(*row_edges[row : row + 2])
        columns = slice(*column_edges[column : column + 2])
        size = (columns.stop - columns.start, rows.stop - rows.start)
        image = Pillow.fromarray(np.ascontiguousarray(crops[number]))
        result[rows, columns] = np.asarray(image.resize(size, Pillow.Resampling.BICUBIC))
    return result
