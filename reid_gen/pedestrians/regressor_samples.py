"""Training samples for human mesh recovery: all viewpoints, poor boxes and empty crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from reid_gen.pedestrians.projection import Framing
from reid_gen.pedestrians.renderer import PedestrianRenderer
from reid_gen.types import Float32Array, Uint8Array

CAMERAS = 400
"""Number of cameras to sample from."""
CROPS_PER_PERSON = 4
CROPS_PER_CAMERA = 40
EMPTY_RATE = 0.06
"""Share of crops without a whole person."""


@dataclass(frozen=True)
class RegressorSamples:
    """N crops with their ground-truth bodies.

    Attributes:
        pixels: Crops in display colours, [N, H, W, 3].
        rotation: Rotation matrices of the joints, root (to camera coordinates) first,
            [N, 24, 3, 3].
        shape: Shape coefficients, [N, 10].
        camera: Weak-perspective cameras in half heights of the crop, [N, 3].
        person: Whether a crop shows a whole person, [N].
    """

    pixels: Uint8Array
    rotation: Float32Array
    shape: Float32Array
    camera: Float32Array
    person: NDArray[np.bool_]


def render_samples(renderer: PedestrianRenderer, numbers: Sequence[int]) -> RegressorSamples:
    """Render training samples; the same numbers always give the same samples. Source: own.

    Args:
        renderer: Renderer of the crops; its seed determines people and cameras.
        numbers: Numbers of the samples.
    """
    rows = [_render_sample(renderer, number) for number in numbers]
    pixels, pose, shape, camera, person = (np.stack(column) for column in zip(*rows, strict=True))
    rotation = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    return RegressorSamples(
        pixels,
        rotation.astype(np.float32),
        shape.astype(np.float32),
        camera.astype(np.float32),
        person,
    )


def _render_sample(
    renderer: PedestrianRenderer, number: int
) -> tuple[Uint8Array, Float32Array, Float32Array, Float32Array, np.bool_]:
    """Render one sample: pixels, pose, shape, camera, and whether it shows a whole person."""
    rng = np.random.default_rng([renderer.seed, 7, number])
    camera = (number // CROPS_PER_CAMERA) % CAMERAS
    person = rng.random() >= EMPTY_RATE
    if person:
        crop = renderer.sample_crop(number // CROPS_PER_PERSON, camera, number % CROPS_PER_PERSON)
        crop = replace(crop, shot=replace(crop.shot, framing=_sample_framing(rng)))
    else:
        crop = renderer.sample_distractor(number, camera)
    body = renderer.ground_truth(crop)
    return renderer.render(crop), body.pose, body.shape, body.camera, np.bool_(person)


def _sample_framing(rng: np.random.Generator) -> Framing:
    """Sample a viewpoint and box more widely than cameras of a data set do."""
    return Framing(
        yaw=rng.uniform(0, 2 * np.pi),
        pitch=rng.uniform(-0.05, 0.5),
        distance=rng.uniform(3, 14),
        fill=float(np.clip(rng.normal(0.92, 0.12), 0.65, 1.4)),
        x=rng.normal(0, 0.06),
        y=rng.normal(0, 0.04),
    )
