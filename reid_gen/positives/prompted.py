"""Positives that a public diffusion model draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reid_gen.body.render.structure_maps import BodyMapRenderer
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.transforms import to_images
from reid_gen.generators.stable_diffusion.control_images import CONDITIONS
from reid_gen.generators.stable_diffusion.painter import StablePainter
from reid_gen.generators.turned_maps import Angles
from reid_gen.positives.sources import PositiveBatch
from reid_gen.types import Float32Array, Image, Uint8Array

Prompts = tuple[str, ...]


class Prompted:
    """Draws each image's body, in other people's looks or in its own person's.

    Members of a group differ in the seed of their noise, and, if bodies are turned, in the angle.

    Args:
        painter: Draws.
        maps: Bodies, at the size that the painter draws.
        conditions: What each of its controls is shown, keys of ``CONDITIONS``.
        prompts: What to ask for in words, one per group at random.
        angles: How far bodies are turned; None draws them as they are.
        positives: ``same_pose`` or ``same_identity``.
        height: Of the pictures that are kept.
        width: Of the pictures that are kept.
        person: From images [b, 3, H, W] to what stands for a prompt, [T, C] each; None asks in
            words.
    """

    name = "pipeline"

    def __init__(
        self,
        painter: StablePainter,
        maps: BodyMapRenderer,
        conditions: Sequence[str],
        prompts: Prompts,
        angles: Angles | None,
        positives: str,
        height: int,
        width: int,
        person: Callable[[Tensor], Sequence[Tensor]] | None = None,
    ) -> None:
        self.painter = painter
        self.maps = maps
        self.conditions = conditions
        self.prompts = prompts
        self.angles = angles
        self.positives = positives
        self.height, self.width = height, width
        self.about: dict[str, str] = {}
        self.person = person

    def __call__(
        self, images: Sequence[Image], members: int, rng: np.random.Generator
    ) -> Iterator[PositiveBatch]:
        """Make ``members`` positives of each image, an image at a time."""
        size = (self.height, self.width)
        for batch in ImageLoader(images, *size, 2).complete_batches():
            pictures = to_images(batch.pixels)
            known: Sequence[Tensor | None] = [None] * len(pictures)
            if self.person is not None:
                known = self.person(pictures)
            for row, key in enumerate(images[n].key for n in batch.index):
                prompt = "" if not self.prompts else str(rng.choice(self.prompts))
                degrees = np.zeros(members, np.float32)
                if self.angles is not None:
                    degrees = self.angles.sample(rng, members)
                seeds = rng.integers(2**31, size=members)
                asked = known[row] if known[row] is not None else prompt
                assert asked is not None
                views = self._draw(key, degrees, seeds, asked, batch.pixels[row])
                shown = F.interpolate(views, size, mode="bicubic", antialias=True).clamp(0, 1)
                made = pictures[row : row + 1], shown[None], degrees[None]
                yield PositiveBatch(*made, (prompt,), seeds[None])

    def _draw(
        self,
        key: str,
        degrees: Float32Array,
        seeds: np.ndarray,
        prompt: str | Tensor,
        person: Uint8Array,
    ) -> Tensor:
        """Views of one image, [m, 3, H, W]: together where they show the same body."""
        drawn = torch.empty(len(degrees), 3, self.painter.card.height, self.painter.card.width)
        for angle in np.unique(degrees):
            rows = np.flatnonzero(degrees == angle)
            some = [int(seed) for seed in seeds[rows]]
            drawn[rows] = self.painter.draw(self._shown(key, angle), some, prompt, person)
        return drawn

    def _shown(self, key: str, degrees: float) -> list[Uint8Array]:
        mesh = self.maps.meshes([key], np.array([degrees], np.float32))
        size = self.maps.height, self.maps.width
        return [
            CONDITIONS[name](mesh, self.maps.model.arrays, *size)[0] for name in self.conditions
        ]
