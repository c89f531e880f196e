"""Backgrounds: a street, a park or a hall, drawn once per camera."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from reid_gen.types import Float32Array, Uint8Array

HEIGHT, WIDTH = 512, 768
Colour = tuple[int, int, int]
"""Display colour: red, green and blue in 0..255."""


def draw_background(rng: Generator) -> Uint8Array:
    """Draw a random scene in display colours, [512, 768, 3]; the ground fills its lower part."""
    scene = SCENES[rng.integers(len(SCENES))]
    horizon = int(HEIGHT * rng.uniform(0.15, 0.4))
    image = Image.new("RGB", (WIDTH, HEIGHT))
    scene(ImageDraw.Draw(image), horizon, rng)
    blurred = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 2.0)))
    pixels = np.asarray(blurred, dtype=np.float32) * _brightness_noise(rng)[..., None]
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _street(draw: ImageDraw.ImageDraw, horizon: int, rng: Generator) -> None:
    """Draw house fronts with windows and doors, paving slabs, a kerb and a road marking."""
    draw.rectangle((0, 0, WIDTH, horizon), fill=_grey(rng, 0.6, 0.95))
    left = 0
    while left < WIDTH:
        right = left + int(rng.integers(110, 260))
        wall = _colour(rng, rng.random(), (0, 0.35), (0.3, 0.8))
        draw.rectangle((left, 0, right, horizon + 12), fill=wall)
        _windows(draw, (left, right), horizon, rng)
        left = right
    ground = _grey(rng, 0.35, 0.7)
    draw.rectangle((0, horizon + 12, WIDTH, HEIGHT), fill=ground)
    _slabs(draw, horizon + 12, _scaled(ground, 0.72), rng)
    kerb = horizon + int(rng.integers(60, 200))
    draw.rectangle((0, kerb, WIDTH, kerb + 8), fill=_scaled(ground, 1.2))
    if rng.random() < 0.6:
        shift = int(rng.integers(-200, 200))
        start = int(rng.integers(0, WIDTH))
        draw.line((start, kerb + 8, start + shift, HEIGHT), fill=_grey(rng, 0.8, 0.95), width=9)


def _park(draw: ImageDraw.ImageDraw, horizon: int, rng: Generator) -> None:
    """Draw trees, bushes, patchy grass and a path."""
    draw.rectangle((0, 0, WIDTH, horizon + 15), fill=_grey(rng, 0.7, 0.95))
    for _ in range(int(rng.integers(60, 120))):
        x, y = rng.integers(0, WIDTH), horizon - rng.integers(-20, 110)
        leaves = _colour(rng, rng.uniform(0.2, 0.38), (0.3, 0.6), (0.15, 0.45))
        _blob(draw, x, y, rng.integers(15, 50), leaves, rng)
    for x in rng.integers(0, WIDTH, 5):
        trunk = _colour(rng, 0.08, (0.3, 0.5), (0.15, 0.35))
        draw.rectangle(
            (int(x), horizon - 120, int(x) + int(rng.integers(6, 16)), horizon + 25), trunk
        )
    grass = _colour(rng, rng.uniform(0.2, 0.33), (0.25, 0.5), (0.3, 0.55))
    draw.rectangle((0, horizon + 15, WIDTH, HEIGHT), fill=grass)
    for _ in range(150):
        x, y = rng.integers(0, WIDTH), rng.integers(horizon + 20, HEIGHT)
        _blob(
            draw, x, y, rng.integers(6, 26), _scaled(grass, rng.uniform(0.8, 1.2)), rng, aspect=0.3
        )
    start, end = rng.integers(0, WIDTH, 2).tolist()
    path_width = int(rng.integers(120, 260))
    path = _colour(rng, 0.1, (0.1, 0.3), (0.45, 0.75))
    corners = (
        (start, horizon + 15),
        (start + 30, horizon + 15),
        (end + path_width, HEIGHT),
        (end, HEIGHT),
    )
    draw.polygon(corners, fill=path)


def _hall(draw: ImageDraw.ImageDraw, horizon: int, rng: Generator) -> None:
    """Draw a panelled wall with posters and pillars, and a tiled floor."""
    wall = _colour(rng, rng.random(), (0, 0.25), (0.45, 0.9))
    draw.rectangle((0, 0, WIDTH, horizon), fill=wall)
    for x in range(0, WIDTH, int(rng.integers(60, 130))):
        draw.line((x, 0, x, horizon), fill=_scaled(wall, 0.85), width=3)
    for _ in range(int(rng.integers(3, 8))):
        x, y = int(rng.integers(0, WIDTH)), int(rng.integers(0, max(horizon - 40, 1)))
        poster = _colour(rng, rng.random(), (0.1, 0.7), (0.3, 0.9))
        draw.rectangle((x, y, x + int(rng.integers(25, 90)), y + int(rng.integers(30, 90))), poster)
    draw.rectangle((0, horizon, WIDTH, horizon + 6), fill=_scaled(wall, 0.6))
    floor = _colour(rng, rng.choice([0.08, 0.6, 0.12]), (0, 0.25), (0.35, 0.8))
    draw.rectangle((0, horizon + 6, WIDTH, HEIGHT), fill=floor)
    _slabs(draw, horizon + 6, _scaled(floor, 0.75), rng)
    for x in rng.integers(0, WIDTH, int(rng.integers(0, 3))):
        pillar = _scaled(wall, rng.uniform(0.6, 1.1))
        draw.rectangle((int(x), 0, int(x) + int(rng.integers(25, 60)), horizon + 40), fill=pillar)


SCENES: tuple[Callable[[ImageDraw.ImageDraw, int, Generator], None], ...] = (_street, _park, _hall)


def _windows(
    draw: ImageDraw.ImageDraw, span: tuple[int, int], horizon: int, rng: Generator
) -> None:
    """Draw windows and a door on the house front between the columns ``span``."""
    glass = _colour(rng, 0.58, (0.05, 0.35), (0.1, 0.6))
    width, height = int(rng.integers(14, 34)), int(rng.integers(22, 48))
    for x in range(span[0] + 12, span[1] - width, width * 2):
        for y in range(8, horizon - height - 30, int(height * 1.7)):
            draw.rectangle((x, y, x + width, y + height), fill=glass, outline=_scaled(glass, 1.5))
    door = span[0] + int(rng.integers(10, 60))
    colour = _colour(rng, rng.random(), (0.1, 0.7), (0.15, 0.6))
    draw.rectangle((door, horizon - 50, door + 30, horizon + 12), fill=colour)


def _slabs(draw: ImageDraw.ImageDraw, top: int, colour: Colour, rng: Generator) -> None:
    """Draw floor joints in perspective: lines to a vanishing point and ever wider rows."""
    vanishing_x = int(rng.integers(WIDTH // 4, 3 * WIDTH // 4))
    for x in range(-4 * WIDTH, 5 * WIDTH, int(rng.integers(90, 200))):
        draw.line((vanishing_x + (x - vanishing_x) // 6, top, x, HEIGHT), fill=colour, width=3)
    rows = int(rng.integers(6, 14))
    for row in range(1, rows):
        y = top + int((HEIGHT - top) * (row / rows) ** 1.8)
        draw.line((0, y, WIDTH, y), fill=colour, width=2)


def _blob(
    draw: ImageDraw.ImageDraw,
    x: np.int64,
    y: np.int64,
    radius: np.int64,
    colour: Colour,
    rng: Generator,
    *,
    aspect: float = 0.8,
) -> None:
    """Draw an ellipse with a height of about ``aspect`` times its width."""
    half_height = int(radius * aspect * rng.uniform(0.7, 1.3)) + 1
    box = (int(x - radius), int(y - half_height), int(x + radius), int(y + half_height))
    draw.ellipse(box, fill=colour)


def _brightness_noise(rng: Generator) -> Float32Array:
    """Sample brightness factors of stains, shadows and grain, [512, 768]."""
    factor = np.ones((HEIGHT, WIDTH), np.float32)
    for size, strength in ((4, 0.10), (24, 0.05), (128, 0.04)):
        coarse = Image.fromarray(rng.normal(0, 1, (size, size * 3 // 2)).astype(np.float32))
        fine = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
        factor *= np.clip(1 + strength * fine, 0.4, 1.6)
    return factor


def _colour(
    rng: Generator, hue: float, saturation: tuple[float, float], value: tuple[float, float]
) -> Colour:
    """Sample a colour of a hue from ranges of saturation and value, all in 0..1."""
    red, green, blue = colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value))
    return int(255 * red), int(255 * green), int(255 * blue)


def _grey(rng: Generator, low: float, high: float) -> Colour:
    return _colour(rng, 0.6, (0, 0.08), (low, high))


def _scaled(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(int(channel * factor), 255) for channel in colour)
    return red, green, blue
