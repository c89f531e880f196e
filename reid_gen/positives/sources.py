"""Sources of positives of real images."""

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
    """Positives of a batch of images.

    Attributes:
        images: Source images in 0..1, [b, 3, H, W].
        views: V positives of each source image, in 0..1, [b, V, 3, H, W].
        degrees: Rotation of the body in each positive, [b, V]; None without bodies.
        prompts: Text prompt of each group, [b]; empty without prompts.
        seeds: Random seed of each positive, [b, V]; None if all follow the seed of the groups.
    """

    images: Tensor
    views: Tensor
    degrees: Float32Array | None = None
    prompts: tuple[str, ...] = ()
    seeds: Int64Array | None = None


class PositiveSource(Protocol):
    """Generates positives of images.

    Attributes:
        name: Name for the header of the groups.
        positives: What the members of a group share: ``same_identity`` or ``same_pose``.
        about: Further settings for the header.
    """

    name: str
    positives: str
    about: dict[str, str]

    def __call__(
        self, images: Sequence[Image], members: int, rng: np.random.Generator
    ) -> Iterator[PositiveBatch]:
        """Generate ``members`` positives of each image, a batch at a time and in order.

        Raises:
            UserError: If an image cannot be decoded, or a body is needed and missing.
        """


class TurnedViews:
    """Views of the person in rotated body poses, by the generator of a run.

    Args:
        renderer: Renderer of the run.
        table: Bodies of the images.
        angles: Distribution of the rotation angles.
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
        """Generate ``members`` positives of each image."""
        degrees = _sample_degrees(self.angles, rng, len(images), members)
        start = 0
        for sources, views in self.renderer.views(images, self.table, degrees):
            yield PositiveBatch(sources, views, degrees[start : start + len(sources)])
            start += len(sources)


class AnchoredViews:
    """Rotated body poses with the content of the image, by a run's diffusion model (CLSP).

    Args:
        renderer: Renderer of the run.
        table: Bodies of the images.
        angles: Distribution of the rotation angles.
        share: Share of the view's own bottleneck features; the rest is the image's.

    Raises:
        UserError: If the run's generator is not a diffusion model.
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
        """Generate ``members`` positives of each image."""
        degrees = _sample_degrees(self.angles, rng, len(images), members)
        with_source = np.concatenate([np.zeros((len(images), 1), np.float32), degrees], axis=1)
        start = 0
        for inputs in self.renderer.render_inputs(images, self.table, with_source):
            anchor_maps, maps = inputs.maps[:, 0], inputs.maps[:, 1:]
            with self.renderer.runtime.generator_autocast():
                views = self.painter.render_anchored(
                    inputs.images, inputs.encoded, anchor_maps, maps, self.share
                )
            views = views.float().clamp(0, 1).cpu()
            yield PositiveBatch(inputs.images.cpu(), views, degrees[start : start + len(views)])
            start += len(views)


class Mosaics:
    """Mosaics of crops of the image (CLIC), without any network.

    Args:
        height: Image height in pixels.
        width: Image width in pixels.
    """

    name, positives = "mosaic", SAME_IDENTITY

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.about: dict[str, str] = {}

    def __call__(
        self, images: Sequence[Image], members: int, rng: np.random.Generator
    ) -> Iterator[PositiveBatch]:
        """Generate ``members`` positives of each image."""
        for batch in ImageLoader(images, self.height, self.width, 2).complete_batches():
            mosaics = [mosaic(pixels, rng) for pixels in batch.pixels for _ in range(members)]
            views = to_images(np.stack(mosaics)).view(
                len(batch.pixels), members, 3, *mosaics[0].shape[:2]
            )
            yield PositiveBatch(to_images(batch.pixels), views)


def _sample_degrees(
    angles: Angles, rng: np.random.Generator, images: int, members: int
) -> Float32Array:
    """Seed torch for the noise of diffusion models, then sample angles, [images, members]."""
    torch.manual_seed(int(rng.integers(2**31)))
    return np.stack([angles.sample(rng, members) for _ in range(images)])
