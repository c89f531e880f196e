"""What a batch may bring beside its images: pictures that belong to some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reid_gen.types import Float32Array, Image, Int64Array, Uint8Array


@dataclass(frozen=True)
class ConditionInputs:
    """Pictures for some images of a batch.

    Attributes:
        batch_index: Which images of the batch they belong to, [b].
        conditions: By name, a picture for each of these, [b, H, W, C].
    """

    batch_index: Int64Array
    conditions: Mapping[str, Float32Array]


MakeConditions = Callable[[Sequence[Image], Uint8Array, int], ConditionInputs]
"""From the images of a batch, their pixels and its number to what it brings; called in a thread."""
