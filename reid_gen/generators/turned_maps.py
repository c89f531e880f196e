"""Body maps of a batch's source images: as the images show the people, and turned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid_gen.body.render.body_maps import BodyMapRenderer
from reid_gen.body.render.map_kinds import MAP_KINDS
from reid_gen.choices import MapName
from reid_gen.data.loaders import ConditionInputs
from reid_gen.data.transforms import to_pixels
from reid_gen.types import Float32Array, Image, Uint8Array

VIEW_ANGLES = np.arange(0, 360, 45, dtype=np.float32)
"""Angles in degrees of the eight views around a person."""
UNTURNED, TURNED = "unturned", "turned"
"""Names of the two body maps among the condition inputs."""


@dataclass(frozen=True)
class Steps:
    """Random rotation by a multiple of ``every`` degrees, at most ``last``.

    GCL's figures show 45 to 315 degrees; its release samples up to 270.
    """

    every: int = 45
    last: int = 315

    def sample(self, rng: np.random.Generator, count: int) -> Float32Array:
        """Sample angles in degrees, [count]."""
        return (rng.integers(1, self.last // self.every + 1, count) * self.every).astype(np.float32)


@dataclass(frozen=True)
class AnyAngle:
    """Random rotation by at least ``min_angle`` degrees in either direction, uniform."""

    min_angle: float = 20.0

    def sample(self, rng: np.random.Generator, count: int) -> Float32Array:
        """Sample angles in degrees, [count]."""
        return rng.uniform(self.min_angle, 360 - self.min_angle, count).astype(np.float32)


Angles = Steps | AnyAngle


class TurnedMaps:
    """Renders the body maps of a batch's source images.

    Args:
        maps: Renderer of body maps for the training images.
        kind: Kind of body map, a key of ``map_kinds.MAP_KINDS``.
        angles: Distribution of the rotation angles.
        min_score: Minimum confidence of a body; images below it get no views.
        max_sources: Maximum number of random source images per batch; None sets no limit.
    """

    def __init__(
        self,
        maps: BodyMapRenderer,
        kind: MapName,
        angles: Angles,
        min_score: float,
        max_sources: int | None,
    ) -> None:
        self.maps = maps
        self.kind = kind
        self.angles = angles
        self.min_score = min_score
        self.max_sources = max_sources

    def usable(self, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Mark the images whose body has at least the minimum confidence, [N].

        Raises:
            UserError: If the table lacks an image.
        """
        return self.maps.table.confidence_mask([image.key for image in images], self.min_score)

    def body_mask(self, maps: Tensor) -> Tensor:
        """Return 1 where body maps [b, C, H, W] show the body, else 0, [b, 1, H, W]."""
        return (maps != MAP_KINDS[self.kind].background).any(dim=1, keepdim=True).float()

    def around(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Render the bodies of B images at ``VIEW_ANGLES``.

        Args:
            images: Images in 0..1, [B, 3, H, W].
            keys: Keys of the images.

        Returns:
            Body maps, [B, 8, C, H, W].
        """
        views = len(VIEW_ANGLES)
        repeated_keys = [key for key in keys for _ in VIEW_ANGLES]
        pixels = np.repeat(to_pixels(images), views, axis=0)
        degrees = np.tile(VIEW_ANGLES, len(keys))
        maps = torch.from_numpy(self.maps(self.kind, repeated_keys, degrees, pixels))
        return maps.view(len(keys), views, *maps.shape[1:]).to(images.device)

    def __call__(
        self, images: Sequence[Image], pixels: Uint8Array, rng: np.random.Generator
    ) -> ConditionInputs:
        """Render the unturned and the turned body maps of random usable images, in -1..1.

        Maps of kind ``painted`` take their colours from ``pixels``, [B, H, W, 3].
        """
        batch_index = rng.permutation(np.flatnonzero(self.usable(images)))[: self.max_sources]
        degrees = np.concatenate(
            [np.zeros(len(batch_index), np.float32), self.angles.sample(rng, len(batch_index))]
        )
        if not len(batch_index):
            return ConditionInputs(batch_index, {})
        keys = [images[position].key for position in batch_index] * 2
        colours = (
            np.tile(pixels[batch_index], (2, 1, 1, 1)) if MAP_KINDS[self.kind].textured else None
        )
        maps = np.moveaxis(self.maps(self.kind, keys, degrees, colours), 1, -1)
        unturned, turned = np.split(maps, 2)
        return ConditionInputs(batch_index, {UNTURNED: unturned, TURNED: turned})
