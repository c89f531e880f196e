"""From decoded images to the augmented batch of a training step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from reid_gen.data.loaders import DecodedBatch
from reid_gen.data.sampling import MIN_BATCH
from reid_gen.data.transforms import Augmentation, to_images
from reid_gen.generators.protocol import Terms, ViewInputs
from reid_gen.runtime.spans import span
from reid_gen.runtime.transfer import to_device
from reid_gen.training.step import Batch
from reid_gen.types import Int64Array

StepFn = Callable[[DecodedBatch, int, Int64Array], Terms]
"""Takes a training step on decoded images; also gets the number of the step in the epoch, from 0,
and the rows of the images of all processes, in rank order, [R]. Returns the loss terms."""


@span("copy and augment")
def prepare(
    decoded: DecodedBatch,
    augmentation: Augmentation,
    rng: np.random.Generator,
    device: torch.device,
    weak: bool = False,
    rows: Int64Array | None = None,
) -> Batch:
    """Augment a batch on the device; sources of views are mirrored with their maps at most.

    Args:
        decoded: Decoded images and condition inputs.
        augmentation: Random augmentation.
        rng: Random generator of the augmentation.
        device: Device of the training step.
        weak: Whether the batch also has a weak view of every image: neither cropped nor erased,
            and mirrored if the augmented image is not.
        rows: Rows of the images of all processes, in rank order, [R]; None has one process.

    Returns:
        The batch on ``device``.

    Raises:
        UserError: If images did not decode.
    """
    pixels = to_device(decoded.complete().pixels, device)
    changes = augmentation.sample(pixels, rng)
    sources, inputs = None, decoded.condition_inputs
    if inputs is not None and with_views(decoded):
        batch_index, sample_weight = to_device(inputs.batch_index, device), inputs.sample_weight
        sources = ViewInputs(
            batch_index=batch_index,
            images=to_images(changes.flip_maps(pixels[batch_index], batch_index)),
            conditions={
                name: _channels_first(changes.flip_maps(to_device(values, device), batch_index))
                for name, values in inputs.conditions.items()
            },
            unaugmented=not augmentation.changes_more_than_flip,
            sample_weight=None if sample_weight is None else to_device(sample_weight, device),
        )
    return Batch(
        images=to_images(changes.apply(pixels)),
        index=to_device(decoded.index, device),
        rows=decoded.index if rows is None else rows,
        sources=sources,
        weak=to_images(changes.flip_unflipped(pixels)) if weak else None,
    )


def with_views(decoded: DecodedBatch) -> int:
    """Number of images of a batch that get views: at least ``MIN_BATCH``, or none."""
    count = 0 if decoded.condition_inputs is None else len(decoded.condition_inputs.batch_index)
    return count if count >= MIN_BATCH else 0


def _channels_first(maps: Tensor) -> Tensor:
    return maps.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
