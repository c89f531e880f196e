"""One crop: a person before a backdrop, what stands in the way, and what the sensor does to it."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy.ndimage import convolve1d, gaussian_filter

from reid_gen.pedestrians.cameras import Camera, Response
from reid_gen.pedestrians.colours import GAMMA, linear
from reid_gen.pedestrians.projection import Framing
from reid_gen.pedestrians.shading import Picture
from reid_gen.types import Float32Array, Uint8Array

FINER = 2
"""Pictures are rendered this many times as fine as the crop, and averaged."""


@dataclass(frozen=True)
class Occluder:
    """Something plain between camera and person.

    Attributes:
        kind: An upright post, a low wall, or a round thing at the side.
        colour: Linear RGB, [3].
        place: Left or top edge, or side of the round thing; 0 to 1.
        size: Extent, 0 to 1.
    """

    kind: Literal["post", "wall", "round"]
    colour: Float32Array
    place: float
    size: float


@dataclass(frozen=True)
class Shot:
    """Everything random about one crop of a person in a pose, drawn before it is rendered.

    Attributes:
        framing: Where the person stands.
        window: Left, top and height of the part of the backdrop, in its pixels.
        occluder: What hides a part of them.
        neighbour: Where another person of the data set stands, if one is in the box.
        blur: Relative to the camera's.
        shake: Pixels of sideways motion blur at 128 rows; 0 for none.
        noise: Seed of the sensor's noise.
    """

    framing: Framing
    window: tuple[int, int, int]
    occluder: Occluder | None
    neighbour: Framing | None
    blur: float
    shake: int
    noise: int


def draw_shot(camera: Camera, rng: Generator) -> Shot:
    """Draw a shot of a camera."""
    high, wide = camera.backdrop.shape[:2]
    rows = int(high * rng.uniform(0.45, 0.75))
    left, top = int(rng.integers(0, wide - rows)), int(rng.integers(0, high - rows))
    return Shot(
        framing=camera.draw_framing(rng),
        window=(left, top, rows),
        occluder=_draw_occluder(rng) if rng.random() < camera.occlusion else None,
        neighbour=_draw_neighbour(camera, rng) if rng.random() < camera.company else None,
        blur=rng.uniform(0.5, 1.6),
        shake=int(rng.integers(2, 6)) if rng.random() < 0.25 else 0,
        noise=int(rng.integers(1 << 31)),
    )


def _draw_occluder(rng: Generator) -> Occluder:
    kind: Literal["post", "wall", "round"] = rng.choice(["post", "wall", "round"]).item()
    colour = linear(rng.random(), rng.uniform(0, 0.4), rng.uniform(0.1, 0.8))
    place = {"post": rng.uniform(0, 0.9), "wall": rng.uniform(0.6, 0.85), "round": rng.random()}
    size = {"post": rng.uniform(0.08, 0.3), "wall": 1.0, "round": rng.uniform(0.2, 0.45)}
    return Occluder(kind, colour, place[kind], size[kind])


def _draw_neighbour(camera: Camera, rng: Generator) -> Framing:
    side = 1 if rng.random() < 0.5 else -1
    return replace(
        camera.draw_framing(rng),
        fill=rng.uniform(0.55, 0.9),
        x=side * rng.uniform(0.38, 0.6),
        y=rng.uniform(-0.03, 0.06),
    )


def compose(shot: Shot, camera: Camera, person: Picture, neighbour: Picture | None) -> Float32Array:
    """Put people before their backdrop and things before the people.

    Args:
        shot: Of the person.
        camera: That takes it.
        person: Rendered at ``FINER`` times the crop's size.
        neighbour: Another person behind them.

    Returns:
        Linear light, [FINER * H, FINER * W, 3].
    """
    height, width = person.mask.shape
    scene = _backdrop(shot, camera, height, width) * camera.light.ambient
    for picture in (neighbour, person):
        if picture is not None:
            scene *= 1 - 0.45 * _contact_shadow(picture, camera)[..., None]
            scene[picture.mask] = picture.light[picture.mask]
    if shot.occluder is not None:
        scene[_covered(shot.occluder, height, width)] = shot.occluder.colour
    return scene


def _backdrop(shot: Shot, camera: Camera, height: int, width: int) -> Float32Array:
    left, top, rows = shot.window
    box = (left, top, left + rows * width // height, top + rows)
    part = Image.fromarray(camera.backdrop).resize((width, height), Image.Resampling.BOX, box=box)
    return np.asarray((np.asarray(part) / 255) ** GAMMA, dtype=np.float32)


def _contact_shadow(picture: Picture, camera: Camera) -> Float32Array:
    height, width = picture.mask.shape
    x, y = picture.feet
    x += 0.05 * height * float(camera.light.direction[0])
    down, across = np.ogrid[:height, :width]
    far = ((across - x) / (0.28 * width)) ** 2 + ((down - min(y, height)) / (0.03 * height)) ** 2
    return np.exp(-far).astype(np.float32)


def _covered(occluder: Occluder, height: int, width: int) -> np.ndarray:
    down, across = np.ogrid[:height, :width]
    y, x = (down + 0.5) / height, (across + 0.5) / width
    if occluder.kind == "post":
        near = (x > occluder.place) & (x < occluder.place + occluder.size)
        return near & (y > 0.3 * occluder.size)
    if occluder.kind == "wall":
        return (y > occluder.place) & (x >= 0)
    side = 1.0 if occluder.place > 0.5 else 0.0
    return ((x - side) / occluder.size) ** 2 + ((y - 0.75) / 0.4) ** 2 < 1


def expose(light: Float32Array, response: Response, shot: Shot) -> Uint8Array:
    """What the sensor makes of light.

    Args:
        light: Linear, [FINER * H, FINER * W, 3].
        response: Of the camera.
        shot: Blur and noise of this crop.

    Returns:
        Display colours, [H, W, 3].
    """
    high, wide, _ = light.shape
    coarse = light.reshape(high // FINER, FINER, wide // FINER, FINER, 3).mean((1, 3))
    image = np.clip(coarse * response.gain, 0, 1) ** (response.gamma / GAMMA)
    sharpness = len(image) / 128
    deviation = response.blur * shot.blur * sharpness
    image = gaussian_filter(image, (deviation, deviation, 0), mode="nearest")
    if shot.shake:
        length = max(round(shot.shake * sharpness), 1)
        image = convolve1d(image, np.full(length, 1 / length), axis=1, mode="nearest")
    image += np.random.default_rng(shot.noise).normal(0, response.noise, image.shape)
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def as_jpeg(pixels: Uint8Array, quality: int) -> bytes:
    """Encode display colours [H, W, 3] as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality)
    return file.getvalue()
