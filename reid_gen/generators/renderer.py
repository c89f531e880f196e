"""Offline generation of views with a trained generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import torch
from torch import Tensor

from reid_gen.body.estimate.estimator import BodyEstimator
from reid_gen.body.model import BodyModel
from reid_gen.body.render.body_maps import BodyMapRenderer
from reid_gen.body.render.rasterise import Rasteriser
from reid_gen.body.table import BodyTable, join_tables
from reid_gen.choices import MapName
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.transforms import to_images
from reid_gen.errors import UserError, join_some
from reid_gen.generators.protocol import Painter
from reid_gen.models.encoder import EncoderOutput, IdentityEncoder
from reid_gen.runtime.devices import Runtime
from reid_gen.types import Float32Array, Image


@dataclass(frozen=True)
class RenderInputs:
    """Inputs of a painter for a batch of source images.

    Attributes:
        images: Source images in 0..1, [b, 3, H, W].
        encoded: Encoder output of the source images, [b].
        maps: Body maps to render, [b, V, C, H, W].
    """

    images: Tensor
    encoded: EncoderOutput
    maps: Tensor


@dataclass(frozen=True)
class ViewRenderer:
    """Generates views of images with the encoder and the painter of a run.

    Attributes:
        encoder: Identity encoder E_id.
        painter: Painter of the run's generator.
        kind: Kind of body map, a key of ``map_kinds.MAP_KINDS``.
        body: Body model of the body parameters.
        height: Image height in pixels.
        width: Image width in pixels.
        runtime: Device and precision.
        rasteriser: Rasteriser for the body maps.
        axis: Rotation axis of the bodies, see :class:`BodyMapRenderer`.
    """

    encoder: IdentityEncoder
    painter: Painter
    kind: MapName
    body: BodyModel
    height: int
    width: int
    runtime: Runtime
    rasteriser: Rasteriser
    axis: str

    def maps(self, table: BodyTable) -> BodyMapRenderer:
        """Return a renderer of body maps for the bodies of a table."""
        size = self.height, self.width
        return BodyMapRenderer(table, self.body, *size, self.rasteriser, self.axis)

    def views(
        self, images: Sequence[Image], table: BodyTable, degrees: Float32Array
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Generate V views of each image, turned by the given angles, a batch at a time.

        Args:
            images: N source images.
            table: Their bodies.
            degrees: Angles in degrees, the same for all images [V] or per image [N, V].

        Yields:
            Source images in 0..1, [b, 3, H, W], and their views in 0..1, [b, V, 3, H, W].

        Raises:
            UserError: If an image cannot be decoded or has no body.
        """
        for inputs in self.render_inputs(images, table, degrees):
            with self.runtime.generator_autocast():
                views = self.painter.render(inputs.encoded, inputs.maps)
            yield inputs.images.cpu(), views.float().clamp(0, 1).cpu()

    def render_inputs(
        self, images: Sequence[Image], table: BodyTable, degrees: Float32Array
    ) -> Iterator[RenderInputs]:
        """Prepare the painter's inputs for views of images, a batch at a time.

        Args:
            images: N source images.
            table: Their bodies.
            degrees: Angles in degrees, the same for all images [V] or per image [N, V].

        Raises:
            UserError: If an image cannot be decoded or has no body.
        """
        structure_maps = self.maps(table)
        self.encoder.eval()
        degrees = np.broadcast_to(degrees, (len(images), np.shape(degrees)[-1]))  # [N, V]
        views = degrees.shape[1]
        for batch in ImageLoader(images, self.height, self.width, 2).complete_batches():
            keys = [images[row].key for row in batch.index for _ in range(views)]
            pixels = np.repeat(batch.pixels, views, axis=0)
            maps = torch.from_numpy(
                structure_maps(self.kind, keys, degrees[batch.index].ravel(), pixels)
            )
            maps = maps.view(len(batch.index), views, *maps.shape[1:])
            device = self.runtime.device
            sources = to_images(batch.pixels).to(device)
            with torch.no_grad(), self.runtime.autocast():
                encoded = self.encoder.encode(sources)
            yield RenderInputs(sources, encoded, maps.to(device))

    def features(
        self, images: Sequence[Image], table: BodyTable, degrees: Float32Array
    ) -> Float32Array:
        """Extract unit features of V views of each image, [N, V, D].

        Raises:
            UserError: If an image cannot be decoded or has no body.
        """
        encode = self.runtime.encoder(self.encoder)
        batches = [
            encode(views.flatten(0, 1)).view(*views.shape[:2], -1).float().cpu().numpy()
            for _, views in self.views(images, table, degrees)
        ]
        return np.concatenate(batches)


def estimate_bodies(images: Sequence[Image], recovery: BodyEstimator) -> BodyTable:
    """Estimate the bodies in a few images.

    Raises:
        UserError: If an image cannot be decoded.
    """
    loader = ImageLoader(images, recovery.height, recovery.width, 2)
    return join_tables(
        [
            recovery(tuple(images[row].key for row in batch.index), batch.pixels)
            for batch in loader.complete_batches()
        ]
    )


def match_by_file_name(table: BodyTable, images: Sequence[Image]) -> tuple[Image, ...]:
    """Give images the keys under which a table holds their file names.

    Raises:
        UserError: If the table has no body for an image.
    """
    keys = {PurePosixPath(key).name: key for key in table.keys}
    missing = [str(image.path) for image in images if image.path.name not in keys]
    if missing:
        raise UserError(
            f"the table has no body for {len(missing)} of {len(images)} images: "
            f"{join_some(missing)}; give the table of their split, or omit --bodies"
        )
    return tuple(replace(image, key=keys[image.path.name]) for image in images)
