"""The cameras of a rendered data set: viewpoint, light and colour response that stay the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from reid_gen.pedestrians.backgrounds import draw_backdrop
from reid_gen.pedestrians.projection import Framing
from reid_gen.types import Float32Array, Uint8Array


@dataclass(frozen=True)
class Light:
    """Of a scene, in camera coordinates.

    Attributes:
        direction: Unit vector to the sun or lamp, [3].
        key: Strength and colour of the direct light, [3].
        ambient: Strength and colour of the light from everywhere, [3].
    """

    direction: Float32Array
    key: Float32Array
    ambient: Float32Array


@dataclass(frozen=True)
class Response:
    """What the camera makes of light.

    Attributes:
        gain: Exposure and colour cast, [3].
        gamma: Exponent relative to the usual one.
        blur: Standard deviation in pixels at 128 rows.
        noise: Standard deviation of each display value, 0 to 1.
        jpeg: Quality of the files.
    """

    gain: Float32Array
    gamma: float
    blur: float
    noise: float
    jpeg: int


@dataclass(frozen=True)
class Camera:
    """One camera.

    Attributes:
        backdrop: Its scene, [512, 768, 3] display colours.
        light: Of the scene.
        response: Of the sensor.
        yaw: Direction in which people walk past, radians.
        spread: How far directions differ from it, radians.
        both_ways: Whether people walk in the opposite direction too.
        pitch: How far it looks down, radians.
        distance: Metres to the people.
        occlusion: Share of crops with something in front of the person.
        company: Share of crops with another person in the box.
    """

    backdrop: Uint8Array
    light: Light
    response: Response
    yaw: float
    spread: float
    both_ways: bool
    pitch: float
    distance: float
    occlusion: float
    company: float

    def draw_framing(self, rng: Generator) -> Framing:
        """Draw where a person stands and how the detector's box lies around them."""
        yaw = self.yaw + rng.uniform(-self.spread, self.spread)
        if self.both_ways and rng.random() < 0.5:
            yaw += np.pi
        return Framing(
            yaw=float(yaw % (2 * np.pi)),
            pitch=self.pitch + rng.normal(0, 0.03),
            distance=self.distance,
            fill=float(np.clip(rng.normal(0.9, 0.06), 0.72, 1.15)),
            x=rng.normal(0, 0.04),
            y=rng.normal(0, 0.025),
        )


def draw_camera(seed: int, number: int) -> Camera:
    """Draw a camera; the same seed and number always give the same one. Source: own."""
    rng = np.random.default_rng([seed, 3, number])
    light = _draw_light(rng)
    return Camera(
        backdrop=draw_backdrop(rng),
        light=light,
        response=_draw_response(light, rng),
        yaw=rng.uniform(0, 2 * np.pi),
        spread=rng.uniform(0.35, 1.1),
        both_ways=bool(rng.random() < 0.7),
        pitch=rng.uniform(0.02, 0.38),
        distance=rng.uniform(4, 14),
        occlusion=rng.uniform(0.03, 0.2),
        company=rng.uniform(0.03, 0.15),
    )


def _draw_light(rng: Generator) -> Light:
    around, up = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.2)
    direction = (np.sin(around) * np.cos(up), np.sin(up), abs(np.cos(around)) * np.cos(up))
    warm = np.array([1, 0.96, 0.88]) if rng.random() < 0.5 else np.ones(3)
    return Light(
        direction=np.array(direction, dtype=np.float32),
        key=(rng.uniform(0.25, 1.3) * warm).astype(np.float32),
        ambient=(rng.uniform(0.45, 0.95) * (1 + rng.normal(0, 0.05, 3))).astype(np.float32),
    )


def _draw_response(light: Light, rng: Generator) -> Response:
    cast = 1 + rng.normal(0, 0.06, 3)
    # Cameras expose by themselves, more or less well.
    exposure = 1.1 * np.exp(rng.normal(0, 0.15)) / (light.ambient + 0.5 * light.key).mean()
    return Response(
        gain=(exposure * cast / cast.mean()).astype(np.float32),
        gamma=rng.uniform(0.85, 1.15),
        blur=rng.uniform(0.3, 1.1),
        noise=rng.uniform(0.005, 0.025),
        jpeg=int(rng.integers(55, 92)),
    )
