"""Poses of people who walk or stand."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]

# Flexion in degrees at 0, 10, ... 90 % of the gait cycle, which starts at heel strike: rounded from
# what gait textbooks draw.
HIP = np.array([28, 24, 14, 4, -6, -11, -2, 15, 27, 30.0])
KNEE = np.array([5, 16, 16, 9, 6, 12, 38, 60, 45, 12.0])
ANKLE = np.array([0, -4, 4, 8, 10, 4, -15, -8, 1, 2.0])
STRIDE_BOUNCE = 4
"""Harmonics of the curves that are kept; higher ones would only follow the rounding."""

SIDES = (
    # hip, knee, ankle, collar, shoulder, elbow, wrist in the order of SMPL's joints
    (1, 4, 7, 13, 16, 18, 20),
    (2, 5, 8, 14, 17, 19, 21),
)


def walking_poses(count: int, rng: Generator, *, standing: float = 0.15) -> Array:
    """Draw poses over the gait cycle: legs by flexion curves, arms against the legs.

    Args:
        count: How many.
        rng: Source of randomness.
        standing: Share of people who stand.

    Returns:
        Rotation vectors in radians, [count, 24, 3]; the root faces +z. Source: own.
    """
    walk = _Walk(count, rng, standing)
    pose = np.zeros((count, 24, 3))
    for side, joints in enumerate(SIDES):
        _leg(pose, walk, side, joints)
        _arm(pose, walk, side, joints)
    _trunk(pose, walk)
    _carry(pose, rng)
    return pose


class _Walk:
    """Phase and vigour of each walker, and small deviations."""

    def __init__(self, count: int, rng: Generator, standing: float) -> None:
        self._rng = rng
        self.count = count
        self.phase = rng.random(count)
        stands = rng.random(count) < standing
        self.legs = np.where(stands, rng.uniform(0, 0.15, count), rng.uniform(0.6, 1.25, count))
        vigour = rng.uniform(0.3, 1.3, count) * self.legs
        self.arms = np.where(stands, rng.uniform(0, 0.3, count), vigour)

    def deviation(self, degrees: float) -> Array:
        return self._rng.normal(0, np.deg2rad(degrees), self.count)


def _curve(samples: Array, phase: Array) -> Array:
    """The smooth periodic function through the samples, in radians."""
    harmonics = np.fft.rfft(samples)[: STRIDE_BOUNCE + 1] / len(samples)
    waves = np.exp(2j * np.pi * phase[:, None] * np.arange(len(harmonics)))
    doubled = np.where(np.arange(len(harmonics)) > 0, 2, 1)
    return np.deg2rad((waves * harmonics * doubled).real.sum(1))


def _leg(pose: Array, walk: _Walk, side: int, joints: tuple[int, ...]) -> None:
    hip, knee, ankle = joints[:3]
    sign = 1 - 2 * side
    phase = (walk.phase + 0.5 * side) % 1
    pose[:, hip, 0] = -walk.legs * _curve(HIP, phase) + walk.deviation(2)
    pose[:, hip, 1] = sign * (np.deg2rad(6) + walk.deviation(5))
    pose[:, hip, 2] = sign * (np.deg2rad(1) + walk.deviation(2))
    pose[:, knee, 0] = walk.legs * _curve(KNEE, phase) + np.abs(walk.deviation(2))
    pose[:, ankle, 0] = -walk.legs * _curve(ANKLE, phase) + walk.deviation(2)


def _arm(pose: Array, walk: _Walk, side: int, joints: tuple[int, ...]) -> None:
    collar, shoulder, elbow, wrist = joints[3:]
    sign = 1 - 2 * side
    zero = np.zeros(walk.count)
    # An arm swings with the opposite leg.
    beat = -np.cos(2 * np.pi * (walk.phase + 0.5 * side))
    swing = walk.arms * np.deg2rad(22) * beat + np.deg2rad(2) + walk.deviation(3)
    hang = np.deg2rad(76) + walk.deviation(5)
    forward = Rotation.from_rotvec(np.stack([-swing, sign * walk.deviation(4), zero], 1))
    down = Rotation.from_rotvec(np.stack([zero, walk.deviation(8), -sign * hang], 1))
    pose[:, shoulder] = (forward * down).as_rotvec()
    bend = np.deg2rad(15) + walk.arms * np.deg2rad(14) * (1 + beat) + walk.deviation(6)
    pose[:, elbow, 1] = -sign * np.clip(bend, np.deg2rad(2), np.deg2rad(140))
    pose[:, wrist, 0] = walk.deviation(8)
    pose[:, wrist, 2] = walk.deviation(6)
    pose[:, collar, 2] = sign * walk.deviation(2)


def _trunk(pose: Array, walk: _Walk) -> None:
    """The pelvis turns with the stride, the spine turns back, the head looks about."""
    turn = walk.legs * np.cos(2 * np.pi * walk.phase)
    pose[:, 0, 1] = np.deg2rad(4) * turn
    for joint, share in ((3, 0.7), (6, 0.7), (9, 0.6)):
        pose[:, joint, 1] = -np.deg2rad(5) * share * turn + walk.deviation(1)
        pose[:, joint, 0] = np.deg2rad(1) + walk.deviation(2)
    pose[:, 3, 2] = walk.deviation(1.5)
    pose[:, 12, 0] = np.deg2rad(4) + walk.deviation(6)
    pose[:, 15] = np.stack([walk.deviation(5), walk.deviation(14), walk.deviation(3)], 1)


def _carry(pose: Array, rng: Generator, share: float = 0.15) -> None:
    """Some hold a phone or the strap of a bag: one forearm is raised."""
    carries = np.flatnonzero(rng.random(len(pose)) < share)
    side = rng.integers(0, 2, len(carries))
    bend = np.deg2rad(rng.uniform(70, 125, len(carries)))
    pose[carries, 18 + side, 1] = -(1 - 2 * side) * bend
