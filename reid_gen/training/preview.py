"""Sheets of generated views, to watch a generator while it is trained."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reid_gen.data.loaders import ImageLoader
from reid_gen.data.sampling import evenly_spaced_indices
from reid_gen.data.transforms import Augmentation, image_grid
from reid_gen.generators.protocol import ViewGenerator
from reid_gen.models.encoder import EncoderOutput, IdentityEncoder
from reid_gen.runtime.devices import Runtime
from reid_gen.training.batch import prepare
from reid_gen.types import Uint8Array

ROWS = 8
"""Images on a sheet, one in each row."""
NO_AUGMENTATION = Augmentation(flip=0, pad=0, erase=0, fill=(0, 0, 0))


def views_sheet(
    generator: ViewGenerator, encoder: IdentityEncoder, loader: ImageLoader, runtime: Runtime
) -> Uint8Array:
    """Generate a sheet of views, of images spread evenly over those that can have views.

    Args:
        generator: Generator of views.
        encoder: Encoder whose features condition the generator; set to evaluation mode.
        loader: Loader of the training images.
        runtime: Device and precision.

    Returns:
        RGB sheet, [h, w, 3]: a row for each image, first the image and then its views.
    """
    usable = np.flatnonzero(generator.usable(loader.images))
    rows = usable[evenly_spaced_indices(len(usable), ROWS)]
    batch = prepare(
        next(loader.read([rows])), NO_AUGMENTATION, np.random.default_rng(0), runtime.device
    )

    def encode(*batches: Tensor) -> list[EncoderOutput]:
        with runtime.autocast():
            return [encoder.encode(images) for images in batches]

    encoder.eval()
    with torch.no_grad(), runtime.generator_autocast():
        columns = generator.preview(batch.images, [loader.images[row].key for row in rows], encode)
    return image_grid(torch.cat([batch.images.unsqueeze(1), columns.float()], dim=1))
