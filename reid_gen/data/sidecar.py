"""What a batch may bring beside its images: pictures that belong to some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reid_gen.types import Floats, Image, Ints, Pixels


@dataclass(frozen=True)
class Brought:
    """Pictures for some images of a batch.

    Attributes:
        places: Which images of the batch they belong to, [b].
        pictures: By name, a picture for each of these, [b, H, W, C].
    """

    places: Ints
    pictures: Mapping[str, Floats]


Bring = Callable[[Sequence[Image], Pixels, int], Brought]
"""From the images of a batch, their pixels and its number to what it brings; called in a thread."""
