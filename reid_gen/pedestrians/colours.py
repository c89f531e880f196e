"""Colours of clothes, skin and hair in linear RGB."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from reid_gen.types import Float32Array

GAMMA = 2.2
"""Exponent from display values to linear light."""


def hsv_to_linear(hue: float, saturation: float, value: float) -> Float32Array:
    """Convert a display colour, HSV in 0..1, to linear RGB in 0..1, [3]."""
    colour = np.array(colorsys.hsv_to_rgb(hue, saturation, value), dtype=np.float32)
    return (colour**GAMMA).astype(np.float32)


def _table(colours: Sequence[tuple[float, float, float]]) -> Float32Array:
    return np.stack([hsv_to_linear(*colour) for colour in colours])


CLOTH = _table([
    (0.00, 0.00, 0.04), (0.00, 0.00, 0.10), (0.00, 0.00, 0.22), (0.00, 0.00, 0.45),
    (0.00, 0.02, 0.75), (0.00, 0.00, 0.95), (0.62, 0.70, 0.22), (0.61, 0.60, 0.45),
    (0.58, 0.45, 0.70), (0.00, 0.80, 0.60), (0.98, 0.70, 0.35), (0.08, 0.50, 0.35),
    (0.09, 0.35, 0.70), (0.15, 0.70, 0.80), (0.33, 0.50, 0.30), (0.40, 0.55, 0.50),
    (0.75, 0.40, 0.40), (0.93, 0.40, 0.80), (0.06, 0.80, 0.85), (0.52, 0.60, 0.60),
])  # fmt: skip
CLOTH_FREQUENCY = np.array(
    [4, 3, 2, 2, 1.5, 3, 2.5, 2, 1.5, 1.5, 1, 1, 1.2, 0.7, 1, 0.6, 0.6, 0.7, 0.5, 0.6]
)
"""Relative frequency of each colour of ``CLOTH``: dark and grey ones are common, as in a street."""
SKIN = _table([
    (0.060, 0.25, 0.92), (0.060, 0.35, 0.85), (0.055, 0.45, 0.72), (0.050, 0.55, 0.52),
    (0.045, 0.60, 0.35),
])  # fmt: skip
HAIR = _table([
    (0.07, 0.40, 0.06), (0.07, 0.60, 0.15), (0.07, 0.60, 0.30), (0.10, 0.50, 0.65),
    (0.00, 0.00, 0.55), (0.03, 0.75, 0.40),
])  # fmt: skip


def sample_cloth_colour(rng: Generator) -> Float32Array:
    """Sample the colour of a garment, linear RGB, [3]."""
    colour = CLOTH[rng.choice(len(CLOTH), p=CLOTH_FREQUENCY / CLOTH_FREQUENCY.sum())]
    return (colour * rng.uniform(0.85, 1.15)).astype(np.float32)


def sample_colour(table: Float32Array, rng: Generator) -> Float32Array:
    """Sample a colour of a table, linear RGB, [3]."""
    return table[rng.integers(len(table))]
