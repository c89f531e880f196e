"""Body maps for a batch: as the images show the people, and turned by random angles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid_gen.body.render.map_kinds import MAP_KINDS, PAINTED
from reid_gen.body.render.structure_maps import StructureMaps
from reid_gen.data.sidecar import ConditionInputs
from reid_gen.data.transforms import to_pixels
from reid_gen.types import Float32Array, Image, Uint8Array

TURNS = np.arange(0, 360, 45, dtype=np.float32)
"""Degrees that contact sheets show."""
HERE, TURNED = "here", "turned"
"""Names of the two maps that are brought."""


@dataclass(frozen=True)
class Steps:
    """Turns by a multiple of ``every`` degrees, up to ``last``.

    GCL's figures show 45 to 315 degrees; its release draws up to 270.
    """

    every: int = 45
    last: int = 315

    def draw(self, rng: np.random.Generator, count: int) -> Float32Array:
        """Degrees, [count]."""
        return (rng.integers(1, self.last // self.every + 1, count) * self.every).astype(np.float32)


@dataclass(frozen=True)
class AnyAngle:
    """Turns by any angle that is at least ``least`` degrees away from none."""

    min_angle: float = 20.0

    def draw(self, rng: np.random.Generator, count: int) -> Float32Array:
        """Degrees, [count]."""
        return rng.uniform(self.min_angle, 360 - self.min_angle, count).astype(np.float32)


Angles = Steps | AnyAngle


class TurnedMaps:
    """Draws the maps that a batch needs.

    Args:
        maps: Bodies of the training images.
        kind: A key of ``structure.KINDS``.
        angles: How far bodies are turned.
        min_score: Images with less confident bodies get no views.
        most: Images of a batch that get views, drawn at random; None takes all that can.
    """

    def __init__(
        self,
        maps: StructureMaps,
        kind: str,
        angles: Angles,
        min_score: float,
        most: int | None,
    ) -> None:
        self.maps = maps
        self.kind = kind
        self.angles = angles
        self.min_score = min_score
        self.most = most

    def usable(self, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Which images have a body to trust, [N].

        Raises:
            UserError: If the table lacks an image.
        """
        return self.maps.table.trusts([image.key for image in images], self.min_score)

    def shows_body(self, maps: Tensor) -> Tensor:
        """1 where maps [b, C, H, W] show a body, else 0, [b, 1, H, W]."""
        return (maps != MAP_KINDS[self.kind].background).any(dim=1, keepdim=True).float()

    def around(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Maps of B images [B, 3, H, W] in 0..1 from all sides, at ``TURNS``: [B, 8, C, H, W]."""
        every = [key for key in keys for _ in TURNS]
        shown = np.repeat(to_pixels(images), len(TURNS), axis=0)
        maps = torch.from_numpy(self.maps(self.kind, every, np.tile(TURNS, len(keys)), shown))
        return maps.view(len(keys), len(TURNS), *maps.shape[1:]).to(images.device)

    def __call__(
        self, images: Sequence[Image], pixels: Uint8Array, rng: np.random.Generator
    ) -> ConditionInputs:
        """Maps of some of the images, in -1..1; painted ones with their pixels."""
        batch_index = rng.permutation(np.flatnonzero(self.usable(images)))[: self.most]
        degrees = np.concatenate(
            [np.zeros(len(batch_index), np.float32), self.angles.draw(rng, len(batch_index))]
        )
        if not len(batch_index):
            return ConditionInputs(batch_index, {})
        keys = [images[place].key for place in batch_index] * 2
        shown = np.tile(pixels[batch_index], (2, 1, 1, 1)) if self.kind == PAINTED else None
        both = np.moveaxis(self.maps(self.kind, keys, degrees, shown), 1, -1)
        here, turned = np.split(both, 2)
        return ConditionInputs(batch_index, {HERE: here, TURNED: turned})
