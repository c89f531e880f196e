"""From decoded batches to what a training step takes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reid_gen.data.images import unreadable_error
from reid_gen.data.loaders import DecodedBatch
from reid_gen.data.sidecar import Brought
from reid_gen.data.transforms import Augmentation, Changes, to_images
from reid_gen.engine.steps import Batch
from reid_gen.generators.protocol import Sources
from reid_gen.types import Floats, Pixels


def prepare(
    decoded: DecodedBatch,
    augmentation: Augmentation,
    rng: np.random.Generator,
    device: torch.device,
) -> Batch:
    """Augment a batch; what was brought moves as its images do, but nothing of it is erased.

    Args:
        decoded: From the loader.
        augmentation: Random changes.
        rng: Source of them.
        device: Where the step runs.

    Returns:
        The batch on its device.

    Raises:
        UserError: If images did not decode.
    """
    if decoded.failures:
        raise unreadable_error(list(decoded.failures))
    size, height, width, _ = decoded.pixels.shape
    changes = augmentation.draw(size, height, width, rng)
    moved = changes.move(decoded.pixels)
    sources = None
    if decoded.brought is not None and len(decoded.brought.places):
        sources = _sources(decoded.brought, moved, changes, device)
    return Batch(
        images=to_images(changes.erase(moved)).to(device),
        index=torch.from_numpy(decoded.index).to(device),
        sources=sources,
    )


def _sources(brought: Brought, moved: Pixels, changes: Changes, device: torch.device) -> Sources:
    own = changes.at(brought.places)
    pictures = {
        name: _channels_first(own.move(picture.values, picture.margin)).to(device)
        for name, picture in brought.pictures.items()
    }
    places = torch.from_numpy(brought.places).to(device)
    return Sources(places, to_images(moved[brought.places]).to(device), pictures)


def _channels_first(values: Floats) -> Tensor:
    return (
        torch.from_numpy(values).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    )
