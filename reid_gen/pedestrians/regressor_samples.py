"""Rendered crops to learn mesh recovery from: every viewpoint, bad boxes, and no person at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from reid_gen.pedestrians.projection import Framing
from reid_gen.pedestrians.renderer import Studio
from reid_gen.types import Float32Array, Uint8Array

CAMERAS = 400
CROPS_PER_PERSON = 4
CROPS_PER_CAMERA = 40
EMPTY = 0.06
"""Share of crops without a whole person in them."""


@dataclass(frozen=True)
class Lessons:
    """N crops and what they show.

    Attributes:
        pixels: [N, H, W, 3].
        rotation: Rotation matrices, the first into camera coordinates, [N, 24, 3, 3].
        shape: [N, 10].
        camera: Weak perspective in half heights, [N, 3].
        person: Whether a whole person is there, [N].
    """

    pixels: Uint8Array
    rotation: Float32Array
    shape: Float32Array
    camera: Float32Array
    person: NDArray[np.bool_]


def draw_lessons(studio: Studio, numbers: Sequence[int]) -> Lessons:
    """Render some of a studio's lessons; the same numbers always give the same ones. Source: own.

    Args:
        studio: People and cameras; another seed has others.
        numbers: Which of its lessons.
    """
    rows = [_lesson(studio, number) for number in numbers]
    pixels, pose, shape, camera, person = (np.stack(column) for column in zip(*rows, strict=True))
    rotation = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    return Lessons(
        pixels,
        rotation.astype(np.float32),
        shape.astype(np.float32),
        camera.astype(np.float32),
        person,
    )


def _lesson(
    studio: Studio, number: int
) -> tuple[Uint8Array, Float32Array, Float32Array, Float32Array, np.bool_]:
    rng = np.random.default_rng([studio.seed, 7, number])
    camera = (number // CROPS_PER_CAMERA) % CAMERAS
    person = rng.random() >= EMPTY
    if person:
        take = studio.take(number // CROPS_PER_PERSON, camera, number % CROPS_PER_PERSON)
        take = replace(take, shot=replace(take.shot, framing=_any_framing(rng)))
    else:
        take = studio.distractor(number, camera)
    truth = studio.truth(take)
    return studio.photograph(take), truth.pose, truth.shape, truth.camera, np.bool_(person)


def _any_framing(rng: np.random.Generator) -> Framing:
    return Framing(
        yaw=rng.uniform(0, 2 * np.pi),
        pitch=rng.uniform(-0.05, 0.5),
        distance=rng.uniform(3, 14),
        fill=float(np.clip(rng.normal(0.92, 0.12), 0.65, 1.4)),
        x=rng.normal(0, 0.06),
        y=rng.normal(0, 0.04),
    )
