"""Poses of walking and standing people."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]

# Joint flexion in degrees at 0, 10, ... 90 % of the gait cycle, which starts at heel strike: values
# read off the curves of gait textbooks.
HIP = np.array([28, 24, 14, 4, -6, -11, -2, 15, 27, 30.0])
KNEE = np.array([5, 16, 16, 9, 6, 12, 38, 60, 45, 12.0])
ANKLE = np.array([0, -4, 4, 8, 10, 4, -15, -8, 1, 2.0])
MAX_HARMONIC = 4
"""Highest harmonic of the flexion curves; higher ones only fit the rounding of the values."""

SIDES = (
    # SMPL joint indices of hip, knee, ankle, collar, shoulder, elbow, wrist: left, right
    (1, 4, 7, 13, 16, 18, 20),
    (2, 5, 8, 14, 17, 19, 21),
)


def walking_poses(count: int, rng: Generator, *, standing: float = 0.15) -> Array:
    """Sample poses over the gait cycle: legs follow flexion curves, arms swing against the legs.

    Args:
        count: Number of poses.
        rng: Source of randomness.
        standing: Probability that a person stands.

    Returns:
        SMPL poses as axis-angle in radians, [count, 24, 3]; the root faces +z. Source: own.
    """
    walk = _Walk(count, rng, standing)
    pose = np.zeros((count, 24, 3))
    for side, joints in enumerate(SIDES):
        _leg(pose, walk, side, joints)
        _arm(pose, walk, side, joints)
    _trunk(pose, walk)
    _raise_forearms(pose, rng)
    return pose


class _Walk:
    """Phase of the gait cycle and amplitude of the limbs of each person.

    Attributes:
        count: Number of people.
        phase: Phase in the gait cycle, 0..1, [count].
        legs: Amplitude of the legs relative to a typical gait, [count].
        arms: Amplitude of the arms relative to a typical gait, [count].
    """

    def __init__(self, count: int, rng: Generator, standing: float) -> None:
        self._rng = rng
        self.count = count
        self.phase = rng.random(count)
        stands = rng.random(count) < standing
        self.legs = np.where(stands, rng.uniform(0, 0.15, count), rng.uniform(0.6, 1.25, count))
        swing = rng.uniform(0.3, 1.3, count) * self.legs
        self.arms = np.where(stands, rng.uniform(0, 0.3, count), swing)

    def noise(self, degrees: float) -> Array:
        """Sample normal deviations in radians with a standard deviation in degrees, [count]."""
        return self._rng.normal(0, np.deg2rad(degrees), self.count)


def _curve(samples: Array, phase: Array) -> Array:
    """Evaluate the truncated Fourier series of the samples (degrees) at a phase, in radians."""
    coefficients = np.fft.rfft(samples)[: MAX_HARMONIC + 1] / len(samples)
    waves = np.exp(2j * np.pi * phase[:, None] * np.arange(len(coefficients)))
    multiplicity = np.where(np.arange(len(coefficients)) > 0, 2, 1)
    return np.deg2rad((waves * coefficients * multiplicity).real.sum(1))


def _leg(pose: Array, walk: _Walk, side: int, joints: tuple[int, ...]) -> None:
    hip, knee, ankle = joints[:3]
    sign = 1 - 2 * side
    phase = (walk.phase + 0.5 * side) % 1
    pose[:, hip, 0] = -walk.legs * _curve(HIP, phase) + walk.noise(2)
    pose[:, hip, 1] = sign * (np.deg2rad(6) + walk.noise(5))
    pose[:, hip, 2] = sign * (np.deg2rad(1) + walk.noise(2))
    pose[:, knee, 0] = walk.legs * _curve(KNEE, phase) + np.abs(walk.noise(2))
    pose[:, ankle, 0] = -walk.legs * _curve(ANKLE, phase) + walk.noise(2)


def _arm(pose: Array, walk: _Walk, side: int, joints: tuple[int, ...]) -> None:
    collar, shoulder, elbow, wrist = joints[3:]
    sign = 1 - 2 * side
    zero = np.zeros(walk.count)
    # An arm swings in phase with the opposite leg.
    oscillation = -np.cos(2 * np.pi * (walk.phase + 0.5 * side))
    swing = walk.arms * np.deg2rad(22) * oscillation + np.deg2rad(2) + walk.noise(3)
    hang = np.deg2rad(76) + walk.noise(5)
    forward = Rotation.from_rotvec(np.stack([-swing, sign * walk.noise(4), zero], 1))
    down = Rotation.from_rotvec(np.stack([zero, walk.noise(8), -sign * hang], 1))
    pose[:, shoulder] = (forward * down).as_rotvec()
    bend = np.deg2rad(15) + walk.arms * np.deg2rad(14) * (1 + oscillation) + walk.noise(6)
    pose[:, elbow, 1] = -sign * np.clip(bend, np.deg2rad(2), np.deg2rad(140))
    pose[:, wrist, 0] = walk.noise(8)
    pose[:, wrist, 2] = walk.noise(6)
    pose[:, collar, 2] = sign * walk.noise(2)


def _trunk(pose: Array, walk: _Walk) -> None:
    """Set pelvis, spine and head: the spine counter-rotates the pelvis, the head looks around."""
    rotation = walk.legs * np.cos(2 * np.pi * walk.phase)
    pose[:, 0, 1] = np.deg2rad(4) * rotation
    for joint, share in ((3, 0.7), (6, 0.7), (9, 0.6)):
        pose[:, joint, 1] = -np.deg2rad(5) * share * rotation + walk.noise(1)
        pose[:, joint, 0] = np.deg2rad(1) + walk.noise(2)
    pose[:, 3, 2] = walk.noise(1.5)
    pose[:, 12, 0] = np.deg2rad(4) + walk.noise(6)
    pose[:, 15] = np.stack([walk.noise(5), walk.noise(14), walk.noise(3)], 1)


def _raise_forearms(pose: Array, rng: Generator, share: float = 0.15) -> None:
    """Raise one forearm of some people, as if to hold a phone or the strap of a bag."""
    people = np.flatnonzero(rng.random(len(pose)) < share)
    side = rng.integers(0, 2, len(people))
    bend = np.deg2rad(rng.uniform(70, 125, len(people)))
    pose[people, 18 + side, 1] = -(1 - 2 * side) * bend
