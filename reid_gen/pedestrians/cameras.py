"""Cameras of a rendered data set: fixed background, viewpoint, light and sensor response."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from reid_gen.pedestrians.backgrounds import draw_background
from reid_gen.pedestrians.projection import Framing
from reid_gen.types import Float32Array, Uint8Array


@dataclass(frozen=True)
class Light:
    """Lighting of a scene in camera coordinates.

    Attributes:
        direction: Unit vector towards the key light, [3].
        key: RGB intensity of the key light (sun or lamp), [3].
        ambient: RGB intensity of the ambient light, [3].
    """

    direction: Float32Array
    key: Float32Array
    ambient: Float32Array


@dataclass(frozen=True)
class SensorResponse:
    """Mapping from light to pixels.

    Attributes:
        gain: Exposure and colour cast, [3].
        gamma: Display gamma relative to the standard value.
        blur: Standard deviation of the Gaussian blur in pixels of a crop of 128 rows.
        noise: Standard deviation of the noise on display values in 0..1.
        jpeg_quality: JPEG quality of the files.
    """

    gain: Float32Array
    gamma: float
    blur: float
    noise: float
    jpeg_quality: int


@dataclass(frozen=True)
class Camera:
    """One surveillance camera.

    Attributes:
        background: Background image in display colours, [512, 768, 3].
        light: Lighting of the scene.
        response: Response of the sensor.
        yaw: Mean yaw of the people who walk past, in radians.
        yaw_spread: Largest deviation from the mean yaw in radians.
        bidirectional: Whether people walk in the opposite direction as well.
        pitch: Downward tilt in radians.
        distance: Distance to the people in metres.
        occlusion_rate: Share of crops with an occluder in front of the person.
        bystander_rate: Share of crops with a second person in the box.
    """

    background: Uint8Array
    light: Light
    response: SensorResponse
    yaw: float
    yaw_spread: float
    bidirectional: bool
    pitch: float
    distance: float
    occlusion_rate: float
    bystander_rate: float

    def sample_framing(self, rng: Generator) -> Framing:
        """Sample the yaw of a person, and their position and scale in the detector's box."""
        yaw = self.yaw + rng.uniform(-self.yaw_spread, self.yaw_spread)
        if self.bidirectional and rng.random() < 0.5:
            yaw += np.pi
        return Framing(
            yaw=float(yaw % (2 * np.pi)),
            pitch=self.pitch + rng.normal(0, 0.03),
            distance=self.distance,
            fill=float(np.clip(rng.normal(0.9, 0.06), 0.72, 1.15)),
            x=rng.normal(0, 0.04),
            y=rng.normal(0, 0.025),
        )


def sample_camera(seed: int, index: int) -> Camera:
    """Sample a camera; the same seed and index always give the same camera. Source: own."""
    rng = np.random.default_rng([seed, 3, index])
    light = _sample_light(rng)
    return Camera(
        background=draw_background(rng),
        light=light,
        response=_sample_response(light, rng),
        yaw=rng.uniform(0, 2 * np.pi),
        yaw_spread=rng.uniform(0.35, 1.1),
        bidirectional=bool(rng.random() < 0.7),
        pitch=rng.uniform(0.02, 0.38),
        distance=rng.uniform(4, 14),
        occlusion_rate=rng.uniform(0.03, 0.2),
        bystander_rate=rng.uniform(0.03, 0.15),
    )


def _sample_light(rng: Generator) -> Light:
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.2)
    direction = (
        np.sin(azimuth) * np.cos(elevation),
        np.sin(elevation),
        abs(np.cos(azimuth)) * np.cos(elevation),
    )
    tint = np.array([1, 0.96, 0.88]) if rng.random() < 0.5 else np.ones(3)
    return Light(
        direction=np.array(direction, dtype=np.float32),
        key=(rng.uniform(0.25, 1.3) * tint).astype(np.float32),
        ambient=(rng.uniform(0.45, 0.95) * (1 + rng.normal(0, 0.05, 3))).astype(np.float32),
    )


def _sample_response(light: Light, rng: Generator) -> SensorResponse:
    colour_cast = 1 + rng.normal(0, 0.06, 3)
    # Auto-exposure with an error.
    exposure = 1.1 * np.exp(rng.normal(0, 0.15)) / (light.ambient + 0.5 * light.key).mean()
    return SensorResponse(
        gain=(exposure * colour_cast / colour_cast.mean()).astype(np.float32),
        gamma=rng.uniform(0.85, 1.15),
        blur=rng.uniform(0.3, 1.1),
        noise=rng.uniform(0.005, 0.025),
        jpeg_quality=int(rng.integers(55, 92)),
    )
