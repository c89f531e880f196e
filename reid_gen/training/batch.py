"""From decoded batches to what a training step takes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reid_gen.data.loaders import DecodedBatch
from reid_gen.data.sampling import MIN_BATCH
from reid_gen.data.transforms import Augmentation, to_images
from reid_gen.generators.protocol import ViewInputs
from reid_gen.training.step import Batch
from reid_gen.types import Float32Array


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
    if decoded.condition_inputs is not None and with_views(decoded):
        batch_index = decoded.condition_inputs.batch_index
        whole = changes.mirror(decoded.pixels[batch_index], batch_index)
        sources = ViewInputs(
            batch_index=torch.from_numpy(batch_index).to(device),
            images=to_images(whole).to(device),
            conditions={
                name: _channels_first(changes.mirror(values, batch_index)).to(device)
                for name, values in decoded.condition_inputs.conditions.items()
            },
            unaugmented=not augmentation.moves_or_erases,
        )
    return Batch(
        images=to_images(changes.apply(decoded.pixels)).to(device),
        index=torch.from_numpy(decoded.index).to(device),
        sources=sources,
        weak=to_images(changes.opposite(decoded.pixels)).to(device) if weak else None,
    )


def with_views(decoded: DecodedBatch) -> int:
    """Number of images of a batch that get views."""
    count = 0 if decoded.condition_inputs is None else len(decoded.condition_inputs.batch_index)
    return count if count >= MIN_BATCH else 0


def _channels_first(values: Float32Array) -> Tensor:
    moved = torch.from_numpy(values).permute(0, 3, 1, 2)
    return moved.contiguous(memory_format=torch.channels_last)
