"""Synthetic features with the statistics of re-ID features, for any number of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reid_gen.types import Float32Array, Int64Array

_BLOCK = 20_000
MODES = 3
"""Number of appearance modes per person, which depend on the camera."""


@dataclass(frozen=True)
class Crowd:
    """Parameters of synthetic features; strengths are standard deviations of latent components.

    Attributes:
        people: Number of identities, with uneven numbers of images.
        cameras: Number of cameras, each with a shift common to all features.
        size: Feature size D.
        latent: Number of latent dimensions, with decreasing variance.
        alike: Share of an identity's variance in common with similar people, 0..1.
        camera: Strength of the camera shifts.
        mode: Strength of a person's appearance modes.
        noise: Mean strength of the variation between images.
        rest: Strength of isotropic noise in all dimensions.
    """

    people: int
    cameras: int
    size: int = 2048
    latent: int = 128
    alike: float = 0.5
    camera: float = 0.30
    mode: float = 0.38
    noise: float = 0.62
    rest: float = 0.15


CROWDS = {
    12_936: Crowd(751, 6),
    32_621: Crowd(1_041, 15),
    100_000: Crowd(5_000, 15),
    300_000: Crowd(15_000, 15),
    1_000_000: Crowd(50_000, 15),
}
"""Number of images -> parameters; the first two match Market-1501 and MSMT17."""


def make_features(crowd: Crowd, count: int, seed: int, out: Float32Array) -> Int64Array:
    """Fill ``out`` [N, D] of any float type with unit features; return their pids, [N]."""
    rng = np.random.default_rng(seed)
    spread = (np.arange(crowd.latent) + 1.0) ** -0.35
    spread = (spread / np.linalg.norm(spread)).astype(np.float32)

    def draw(*shape: int) -> Float32Array:
        return rng.standard_normal((*shape, crowd.latent), dtype=np.float32) * spread

    share = rng.gamma(2.5, 1, crowd.people) + 0.25
    pids = np.sort(rng.choice(crowd.people, count, p=share / share.sum()))
    camids = rng.integers(0, crowd.cameras, count)
    types = draw(max(1, crowd.people // 6))
    identity = np.sqrt(crowd.alike) * types[rng.integers(0, len(types), crowd.people)]
    identity += np.sqrt(1 - crowd.alike) * draw(crowd.people)
    shifts = crowd.camera * draw(crowd.cameras)
    modes = crowd.mode * draw(crowd.people, min(crowd.cameras, MODES))
    strength = (crowd.noise * np.exp(0.35 * rng.standard_normal(count))).astype(np.float32)
    projection = np.linalg.qr(rng.standard_normal((crowd.size, crowd.latent)))[0].T.astype(
        np.float32
    )
    for start in range(0, count, _BLOCK):
        rows = slice(start, min(count, start + _BLOCK))
        pid, camid = pids[rows], camids[rows]
        latent = identity[pid] + shifts[camid] + modes[pid, camid % modes.shape[1]]
        latent += strength[rows, None] * draw(len(pid))
        features = latent @ projection
        noise = rng.standard_normal(features.shape, dtype=np.float32)
        features += crowd.rest / np.sqrt(crowd.size) * noise
        out[rows] = features / np.linalg.norm(features, axis=1, keepdims=True)
    return pids.astype(np.int64)
