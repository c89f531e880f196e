"""The people of any images, drawn from any side with the networks of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import torch
from torch import Tensor

from reid_gen.body.estimate.estimator import Recovery
from reid_gen.body.model import BodyModel
from reid_gen.body.render.rasterise import Rasteriser
from reid_gen.body.render.structure_maps import StructureMaps
from reid_gen.body.table import BodyTable, join_tables
from reid_gen.data.loaders import DecodedBatch, ImageLoader
from reid_gen.data.transforms import to_images
from reid_gen.errors import UserError, join_some
from reid_gen.generators.protocol import Painter
from reid_gen.models.encoder import EncoderOutput, IdentityEncoder
from reid_gen.runtime.devices import Runtime
from reid_gen.types import Float32Array, Image

BATCH = 32


@dataclass(frozen=True)
class RenderInputs:
    """People who are drawn.

    Attributes:
        pictures: Of them, in 0..1, [b, 3, H, W].
        seen: What the identity encoder says of these.
        maps: Of the bodies to draw, [b, V, C, H, W].
    """

    pictures: Tensor
    seen: EncoderOutput
    maps: Tensor


@dataclass(frozen=True)
class ViewRenderer:
    """Draws views.

    Attributes:
        encoder: E_id.
        painter: Of a generator.
        kind: Of the body maps, a key of ``structure.KINDS``.
        body: What the parameters of bodies are of.
        height: Of images.
        width: Of images.
        runtime: Device and precision.
        rasteriser: Draws bodies.
        axis: What they turn about, as :class:`StructureMaps` has it.
    """

    encoder: IdentityEncoder
    painter: Painter
    kind: str
    body: BodyModel
    height: int
    width: int
    runtime: Runtime
    rasteriser: Rasteriser
    axis: str

    def maps(self, table: BodyTable) -> StructureMaps:
        """What the painter is shown of the bodies of a table."""
        size = self.height, self.width
        return StructureMaps(table, self.body, *size, self.rasteriser, self.axis)

    def views(
        self, images: Sequence[Image], table: BodyTable, degrees: Float32Array
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Draw all images turned by V angles each, a batch at a time.

        Args:
            images: N in all.
            table: Their bodies.
            degrees: V angles, [V], or those of each image, [N, V].

        Yields:
            Images in 0..1, [b, 3, H, W], and their views in 0..1, [b, V, 3, H, W].

        Raises:
            UserError: If an image does not decode or has no body.
        """
        for sitting in self.sittings(images, table, degrees):
            with self.runtime.generator_autocast():
                views = self.painter.turned(sitting.seen, sitting.maps)
            yield sitting.pictures.cpu(), views.float().clamp(0, 1).cpu()

    def sittings(
        self, images: Sequence[Image], table: BodyTable, degrees: Float32Array
    ) -> Iterator[RenderInputs]:
        """What pictures of the images are drawn from, a batch at a time.

        Args:
            images: N in all.
            table: Their bodies.
            degrees: V angles, [V], or those of each image, [N, V].

        Raises:
            UserError: If an image does not decode or has no body.
        """
        maps = self.maps(table)
        self.encoder.eval()
        turns = np.broadcast_to(degrees, (len(images), np.shape(degrees)[-1]))
        for batch in whole_batches(ImageLoader(images, self.height, self.width, 2)):
            keys = [images[row].key for row in batch.index for _ in range(turns.shape[1])]
            shown = np.repeat(batch.pixels, turns.shape[1], axis=0)
            drawn = torch.from_numpy(maps(self.kind, keys, turns[batch.index].ravel(), shown))
            drawn = drawn.view(len(batch.index), turns.shape[1], *drawn.shape[1:])
            device = self.runtime.device
            pictures = to_images(batch.pixels).to(device)
            with torch.no_grad(), self.runtime.autocast():
                seen = self.encoder.encode(pictures)
            yield RenderInputs(pictures, seen, drawn.to(device))

    def features(
        self, images: Sequence[Image], table: BodyTable, degrees: Float32Array
    ) -> Float32Array:
        """Unit features of the views, [N, V, D].

        Raises:
            UserError: If an image does not decode or has no body.
        """
        encode = self.runtime.encoder(self.encoder)
        found = [
            encode(views.flatten(0, 1)).view(*views.shape[:2], -1).float().cpu().numpy()
            for _, views in self.views(images, table, degrees)
        ]
        return np.concatenate(found)


def recover_bodies(images: Sequence[Image], recovery: Recovery) -> BodyTable:
    """Bodies of a few images.

    Raises:
        UserError: If an image does not decode.
    """
    loader = ImageLoader(images, recovery.height, recovery.width, 2)
    return join_tables(
        [
            recovery(tuple(images[row].key for row in batch.index), batch.pixels)
            for batch in whole_batches(loader)
        ]
    )


def named_as_in(table: BodyTable, images: Sequence[Image]) -> tuple[Image, ...]:
    """The images under the keys of a table that end in their file names.

    Raises:
        UserError: If the table has no body for an image.
    """
    keys = {PurePosixPath(key).name: key for key in table.keys}
    missing = [str(image.path) for image in images if image.path.name not in keys]
    if missing:
        raise UserError(
            f"the table has no body for {len(missing)} of {len(images)} images: "
            f"{join_some(missing)}; give the table of their split, or leave --bodies out"
        )
    return tuple(replace(image, key=keys[image.path.name]) for image in images)


def whole_batches(loader: ImageLoader) -> Iterator[DecodedBatch]:
    """All batches of a loader.

    Raises:
        UserError: If an image does not decode.
    """
    return (batch.complete() for batch in loader.in_order(BATCH))
