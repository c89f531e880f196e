"""Compositing of a crop: background, people, occluder, and the response of the sensor."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy.ndimage import convolve1d, gaussian_filter

from reid_gen.pedestrians.cameras import Camera, SensorResponse
from reid_gen.pedestrians.colours import GAMMA, hsv_to_linear
from reid_gen.pedestrians.projection import Framing
from reid_gen.pedestrians.shading import PersonLayer
from reid_gen.types import Float32Array, Uint8Array

SUPERSAMPLING = 2
"""Crops are rendered at this multiple of their size and averaged (anti-aliasing)."""


@dataclass(frozen=True)
class Occluder:
    """Plain object between the camera and the person.

    Attributes:
        kind: An upright post, a low wall, or a round object at the side.
        colour: Linear RGB, [3].
        position: Left edge of a post or top edge of a wall, 0..1; a round object is on the right
            side if above 0.5, else on the left side.
        size: Width relative to the crop, 0..1.
    """

    kind: Literal["post", "wall", "round"]
    colour: Float32Array
    position: float
    size: float


@dataclass(frozen=True)
class Shot:
    """Random parameters of one crop other than the person, the pose and the camera.

    Attributes:
        framing: Framing of the person.
        window: Left edge, top edge and height of the visible part of the background in its pixels.
        occluder: Object that hides a part of the person, if any.
        bystander: Framing of a second person in the box, if any.
        blur: Blur relative to that of the camera.
        motion_blur: Length of horizontal motion blur in pixels of a crop of 128 rows; 0 for none.
        noise_seed: Seed of the sensor noise.
    """

    framing: Framing
    window: tuple[int, int, int]
    occluder: Occluder | None
    bystander: Framing | None
    blur: float
    motion_blur: int
    noise_seed: int


def sample_shot(camera: Camera, rng: Generator) -> Shot:
    """Sample the random parameters of a crop of a camera."""
    height, width = camera.background.shape[:2]
    rows = int(height * rng.uniform(0.45, 0.75))
    left, top = int(rng.integers(0, width - rows)), int(rng.integers(0, height - rows))
    return Shot(
        framing=camera.sample_framing(rng),
        window=(left, top, rows),
        occluder=_sample_occluder(rng) if rng.random() < camera.occlusion_rate else None,
        bystander=_sample_bystander(camera, rng) if rng.random() < camera.bystander_rate else None,
        blur=rng.uniform(0.5, 1.6),
        motion_blur=int(rng.integers(2, 6)) if rng.random() < 0.25 else 0,
        noise_seed=int(rng.integers(1 << 31)),
    )


def _sample_occluder(rng: Generator) -> Occluder:
    kind: Literal["post", "wall", "round"] = rng.choice(["post", "wall", "round"]).item()
    colour = hsv_to_linear(rng.random(), rng.uniform(0, 0.4), rng.uniform(0.1, 0.8))
    position = {"post": rng.uniform(0, 0.9), "wall": rng.uniform(0.6, 0.85), "round": rng.random()}
    size = {"post": rng.uniform(0.08, 0.3), "wall": 1.0, "round": rng.uniform(0.2, 0.45)}
    return Occluder(kind, colour, position[kind], size[kind])


def _sample_bystander(camera: Camera, rng: Generator) -> Framing:
    side = 1 if rng.random() < 0.5 else -1
    return replace(
        camera.sample_framing(rng),
        fill=rng.uniform(0.55, 0.9),
        x=side * rng.uniform(0.38, 0.6),
        y=rng.uniform(-0.03, 0.06),
    )


def composite(
    shot: Shot, camera: Camera, person: PersonLayer, bystander: PersonLayer | None
) -> Float32Array:
    """Composite background, bystander, person and occluder.

    Args:
        shot: Random parameters of the crop.
        camera: Camera of the crop.
        person: Layer of the person at ``SUPERSAMPLING`` times the size of the crop.
        bystander: Layer of a second person behind them.

    Returns:
        Linear RGB, [SUPERSAMPLING * H, SUPERSAMPLING * W, 3].
    """
    height, width = person.mask.shape
    scene = _background(shot, camera, height, width) * camera.light.ambient
    for layer in (bystander, person):
        if layer is not None:
            scene *= 1 - 0.45 * _contact_shadow(layer, camera)[..., None]
            scene[layer.mask] = layer.radiance[layer.mask]
    if shot.occluder is not None:
        scene[_occluder_mask(shot.occluder, height, width)] = shot.occluder.colour
    return scene


def _background(shot: Shot, camera: Camera, height: int, width: int) -> Float32Array:
    """Crop and resize the visible part of the background, linear RGB, [height, width, 3]."""
    left, top, rows = shot.window
    box = (left, top, left + rows * width // height, top + rows)
    background = Image.fromarray(camera.background)
    resized = background.resize((width, height), Image.Resampling.BOX, box=box)
    return np.asarray((np.asarray(resized) / 255) ** GAMMA, dtype=np.float32)


def _contact_shadow(layer: PersonLayer, camera: Camera) -> Float32Array:
    """Strength of the shadow around a person's feet, [height, width] in 0..1."""
    height, width = layer.mask.shape
    x, y = layer.feet
    x += 0.05 * height * float(camera.light.direction[0])
    rows, columns = np.ogrid[:height, :width]
    squared_distance = ((columns - x) / (0.28 * width)) ** 2 + (
        (rows - min(y, height)) / (0.03 * height)
    ) ** 2
    return np.exp(-squared_distance).astype(np.float32)


def _occluder_mask(occluder: Occluder, height: int, width: int) -> np.ndarray:
    rows, columns = np.ogrid[:height, :width]
    y, x = (rows + 0.5) / height, (columns + 0.5) / width
    if occluder.kind == "post":
        inside = (x > occluder.position) & (x < occluder.position + occluder.size)
        return inside & (y > 0.3 * occluder.size)
    if occluder.kind == "wall":
        return (y > occluder.position) & (x >= 0)
    centre = 1.0 if occluder.position > 0.5 else 0.0
    return ((x - centre) / occluder.size) ** 2 + ((y - 0.75) / 0.4) ** 2 < 1


def expose(radiance: Float32Array, response: SensorResponse, shot: Shot) -> Uint8Array:
    """Apply the sensor: downsampling, exposure, gamma, blur and noise.

    Args:
        radiance: Linear RGB, [SUPERSAMPLING * H, SUPERSAMPLING * W, 3].
        response: Response of the camera's sensor.
        shot: Blur and noise of the crop.

    Returns:
        Display colours, [H, W, 3].
    """
    height, width = radiance.shape[0] // SUPERSAMPLING, radiance.shape[1] // SUPERSAMPLING
    blocks = radiance.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 3)
    exposed = np.clip(blocks.mean((1, 3)) * response.gain, 0, 1)
    image = exposed ** (response.gamma / GAMMA)
    resolution = len(image) / 128
    sigma = response.blur * shot.blur * resolution
    image = gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
    if shot.motion_blur:
        length = max(round(shot.motion_blur * resolution), 1)
        image = convolve1d(image, np.full(length, 1 / length), axis=1, mode="nearest")
    image += np.random.default_rng(shot.noise_seed).normal(0, response.noise, image.shape)
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def encode_jpeg(pixels: Uint8Array, quality: int) -> bytes:
    """Encode display colours [H, W, 3] as JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality)
    return file.getvalue()
