"""What a generator draws now, to look at while it learns."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reid_gen.data.loaders import ImageLoader
from reid_gen.data.sampling import evenly_spread
from reid_gen.data.transforms import Augmentation, as_sheet
from reid_gen.generators.protocol import ViewGenerator
from reid_gen.models.encoder import Encoded, IdentityEncoder
from reid_gen.runtime.devices import Runtime
from reid_gen.training.batch import prepare
from reid_gen.types import Uint8Array

SHOWN = 8
"""Rows of a contact sheet."""
PLAIN = Augmentation(flip=0, pad=0, erase=0, fill=(0, 0, 0))


def views_sheet(
    generator: ViewGenerator, encoder: IdentityEncoder, loader: ImageLoader, runtime: Runtime
) -> Uint8Array:
    """Draw views of some images, evenly spread over those that can have them, [h, w, 3].

    Rows are images; the first column is the image, the others are the generator's.

    Args:
        generator: Draws.
        encoder: What it draws for; put into evaluation mode.
        loader: The training images.
        runtime: Device and precision.
    """
    usable = np.flatnonzero(generator.usable(loader.images))
    rows = usable[evenly_spread(len(usable), SHOWN)]
    batch = prepare(next(loader.read([rows])), PLAIN, np.random.default_rng(0), runtime.device)

    def encode(*several: Tensor) -> list[Encoded]:
        with runtime.autocast():
            return [encoder.encode(some) for some in several]

    encoder.eval()
    with torch.no_grad(), runtime.generator_autocast():
        columns = generator.show(batch.images, [loader.images[row].key for row in rows], encode)
    return as_sheet(torch.cat([batch.images.unsqueeze(1), columns.float()], dim=1))
