"""New images cut from an old one (CLIC, arXiv 2408.03230)."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from reid_gen.types import Uint8Array

SCALES = (3, 6, 12)
"""How many times smaller than the image a crop is: c, 2 c and 4 c with the authors' c of 3."""


def mosaic(pixels: Uint8Array, rng: np.random.Generator) -> Uint8Array:
    """Two small crops and a mirrored copy of each, in a random order, two by two.

    The crops have the image's own proportions and not a square's, because people are tall.

    Args:
        pixels: An image, [H, W, 3] in 0..255.
        rng: Source of chance.

    Returns:
        [H, W, 3].
    """
    height, width = pixels.shape[:2]
    scale = int(rng.choice(SCALES))
    tall, wide = max(1, height // scale), max(1, width // scale)
    crops = []
    for _ in range(2):
        top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
        crop = pixels[top : top + tall, left : left + wide]
        crops += [crop, crop[:, ::-1]]
    halves = ((0, height // 2, height), (0, width // 2, width))
    made = np.empty_like(pixels)
    for place, number in enumerate(rng.permutation(4)):
        row, column = divmod(place, 2)
        rows = slice(*halves[0][row : row + 2])
        columns = slice(*halves[1][column : column + 2])
        size = (columns.stop - columns.start, rows.stop - rows.start)
        tile = Pillow.fromarray(np.ascontiguousarray(crops[number]))
        made[rows, columns] = np.asarray(tile.resize(size, Pillow.Resampling.BICUBIC))
    return made
