"""From decoded images to the augmented batch of a training step."""

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
    """Augment a batch; sources of views are mirrored with their maps, not padded or erased.

    Args:
        decoded: Decoded images and condition inputs.
        augmentation: Random augmentation.
        rng: Random generator of the augmentation.
        device: Device of the training step.
        weak: Whether the batch also has a weak view of every image: neither cropped nor erased,
            and mirrored if the augmented image is not.

    Returns:
        The batch on ``device``.

    Raises:
        UserError: If images did not decode.
    """
    size, height, width, _ = decoded.complete().pixels.shape
    changes = augmentation.sample(size, height, width, rng)
    sources, inputs = None, decoded.condition_inputs
    if inputs is not None and with_views(decoded):
        batch_index, sample_weight = inputs.batch_index, inputs.sample_weight
        flipped = changes.flip_maps(decoded.pixels[batch_index], batch_index)
        sources = ViewInputs(
            batch_index=torch.from_numpy(batch_index).to(device),
            images=to_images(flipped).to(device),
            conditions={
                name: _channels_first(changes.flip_maps(values, batch_index)).to(device)
                for name, values in inputs.conditions.items()
            },
            unaugmented=not augmentation.changes_more_than_flip,
            sample_weight=None
            if sample_weight is None
            else torch.from_numpy(sample_weight).to(device),
        )
    return Batch(
        images=to_images(changes.apply(decoded.pixels)).to(device),
        index=torch.from_numpy(decoded.index).to(device),
        sources=sources,
        weak=to_images(changes.flip_unflipped(decoded.pixels)).to(device) if weak else None,
    )


def with_views(decoded: DecodedBatch) -> int:
    """Number of images of a batch that get views: at least ``MIN_BATCH``, or none."""
    count = 0 if decoded.condition_inputs is None else len(decoded.condition_inputs.batch_index)
    return count if count >= MIN_BATCH else 0


def _channels_first(values: Float32Array) -> Tensor:
    moved = torch.from_numpy(values).permute(0, 3, 1, 2)
    return moved.contiguous(memory_format=torch.channels_last)
