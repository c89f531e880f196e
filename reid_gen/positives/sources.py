"""Ways to make positives of real images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from reid_gen.body.table import BodyTable
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.positive_groups import SAME_IDENTITY
from reid_gen.data.transforms import to_images
from reid_gen.errors import UserError
from reid_gen.generators.protocol import ContentPainter
from reid_gen.generators.renderer import ViewRenderer
from reid_gen.generators.turned_maps import Angles
from reid_gen.positives.mosaic import mosaic
from reid_gen.types import Float32Array, Image, Int64Array


@dataclass(frozen=True)
class PositiveBatch:
    """Positives of some images.

    Attributes:
        pictures: The images, in 0..1, [b, 3, H, W].
        views: Their positives, in 0..1, [b, V, 3, H, W].
        degrees: How far bodies were turned, [b, V]; None if bodies have no say.
        prompts: What was asked for in words, [b]; empty where nothing was.
        seeds: Of each positive, [b, V]; None if all come from the seed of the whole.
    """

    pictures: Tensor
    views: Tensor
    degrees: Float32Array | None = None
    prompts: tuple[str, ...] = ()
    seeds: Int64Array | None = None


class PositiveSource(Protocol):
    """Makes positives.

    Attributes:
        name: For the header of groups.
        positives: What the members of a group share: ``same_identity`` or ``same_pose``.
        about: What else decides how they look, for the header.
    """

    name: str
    positives: str
    about: dict[str, str]

    def __call__(
        self, images: Sequence[Image], members: int, rng: np.random.Generator
    ) -> Iterator[PositiveBatch]:
        """Make ``members`` positives of each image, a batch at a time, in their order.

        Raises:
            UserError: If an image does not decode, or has no body where one is needed.
        """


class Turned:
    """The person on the body turned, by any generator that draws.

    Args:
        renderer: Draws.
        table: Bodies of the images.
        angles: How far they are turned.
    """

    name, positives = "turned", SAME_IDENTITY

    def __init__(self, renderer: ViewRenderer, table: BodyTable, angles: Angles) -> None:
        self.renderer = renderer
        self.table = table
        self.angles = angles
        self.about = {"angles": repr(angles)}

    def __call__(
        self, images: Sequence[Image], members: int, rng: np.random.Generator
    ) -> Iterator[PositiveBatch]:
        """Make ``members`` positives of each image."""
        degrees = _degrees(self.angles, rng, len(images), members)
        done = 0
        for pictures, views in self.renderer.views(images, self.table, degrees):
            yield PositiveBatch(pictures, views, degrees[done : done + len(pictures)])
            done += len(pictures)


class Anchored:
    """The body turned with the content of the image, by a diffusion model (CLSP).

    Args:
        renderer: Draws, with a diffusion model.
        table: Bodies of the images.
        angles: How far they are turned.
        share: Of a picture's own content.

    Raises:
        UserError: If the artist draws otherwise.
    """

    name, positives = "anchored", SAME_IDENTITY

    def __init__(
        self, renderer: ViewRenderer, table: BodyTable, angles: Angles, share: float
    ) -> None:
        if not isinstance(renderer.painter, ContentPainter):
            raise UserError(
                "--maker anchored needs a run that trained a diffusion model, such as "
                "diffusion_pedestrians; with this one use --maker turned"
            )
        self.renderer = renderer
        self.painter = renderer.painter
        self.table = table
        self.angles = angles
        self.share = share
        self.about = {"angles": repr(angles), "share": str(share)}

    def __call__(
        self, images: Sequence[Image], members: int, rng: np.random.Generator
    ) -> Iterator[PositiveBatch]:
        """Make ``members`` positives of each image."""
        degrees = _degrees(self.angles, rng, len(images), members)
        asked = np.concatenate([np.zeros((len(images), 1), np.float32), degrees], axis=1)
        done = 0
        for sitting in self.renderer.sittings(images, self.table, asked):
            here, maps = sitting.maps[:, 0], sitting.maps[:, 1:]
            with self.renderer.runtime.generator_autocast():
                views = self.painter.anchored(
                    sitting.pictures, sitting.seen, here, maps, self.share
                )
            shown = views.float().clamp(0, 1).cpu()
            yield PositiveBatch(sitting.pictures.cpu(), shown, degrees[done : done + len(shown)])
            done += len(shown)


class Mosaics:
    """Pieces of the image, side by side (CLIC); no network has a part in it.

    Args:
        height: Of images.
        width: Of images.
    """

    name, positives = "mosaic", SAME_IDENTITY

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.about: dict[str, str] = {}

    def __call__(
        self, images: Sequence[Image], members: int, rng: np.random.Generator
    ) -> Iterator[PositiveBatch]:
        """Make ``members`` positives of each image."""
        for batch in ImageLoader(images, self.height, self.width, 2).complete_batches():
            made = [mosaic(pixels, rng) for pixels in batch.pixels for _ in range(members)]
            views = to_images(np.stack(made)).view(
                len(batch.pixels), members, 3, *made[0].shape[:2]
            )
            yield PositiveBatch(to_images(batch.pixels), views)


def _degrees(angles: Angles, rng: np.random.Generator, images: int, members: int) -> Float32Array:
    torch.manual_seed(int(rng.integers(2**31)))  # for the noise of diffusion models
    return np.stack([angles.sample(rng, members) for _ in range(images)])
