"""From decoded batches to what a training step takes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reid_gen.data.loaders import DecodedBatch
from reid_gen.data.sampling import MIN_BATCH
from reid_gen.data.transforms import Augmentation, to_images
from reid_gen.generators.protocol import Sources
from reid_gen.training.step import Batch
from reid_gen.types import Floats


def prepare(
    decoded: DecodedBatch,
    augmentation: Augmentation,
    rng: np.random.Generator,
    device: torch.device,
    weak: bool = False,
) -> Batch:
    """Augment a batch. What gets views, and what was brought for it, is mirrored and no more.

    Args:
        decoded: From the loader.
        augmentation: Random changes.
        rng: Source of them.
        device: Where the step runs.
        weak: Whether the batch has a weak view of every image too: whole, and mirrored where the
            augmented one is not.

    Returns:
        The batch on its device.

    Raises:
        UserError: If images did not decode.
    """
    size, height, width, _ = decoded.complete().pixels.shape
    changes = augmentation.draw(size, height, width, rng)
    sources = None
    if decoded.brought is not None and with_views(decoded):
        places = decoded.brought.places
        whole = changes.mirror(decoded.pixels[places], places)
        sources = Sources(
            places=torch.from_numpy(places).to(device),
            images=to_images(whole).to(device),
            pictures={
                name: _channels_first(changes.mirror(values, places)).to(device)
                for name, values in decoded.brought.pictures.items()
            },
            as_seen=not augmentation.moves_or_erases,
        )
    return Batch(
        images=to_images(changes.apply(decoded.pixels)).to(device),
        index=torch.from_numpy(decoded.index).to(device),
        sources=sources,
        weak=to_images(changes.opposite(decoded.pixels)).to(device) if weak else None,
    )


def with_views(decoded: DecodedBatch) -> int:
    """Number of images of a batch that get views."""
    count = 0 if decoded.brought is None else len(decoded.brought.places)
    return count if count >= MIN_BATCH else 0


def _channels_first(values: Floats) -> Tensor:
    moved = torch.from_numpy(values).permute(0, 3, 1, 2)
    return moved.contiguous(memory_format=torch.channels_last)
