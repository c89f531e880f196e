"""What a source of new views offers to the training step, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from reid_gen.data.sidecar import ConditionInputs
from reid_gen.models.encoder import EncoderOutput
from reid_gen.types import Image, Uint8Array

Terms = Mapping[str, Tensor]
"""Unweighted loss terms by name, each a scalar."""


@dataclass(frozen=True)
class ViewInputs:
    """The images that get views.

    Attributes:
        batch_index: Where in the batch they stand, [b].
        images: Whole ones, mirrored at most, in 0..1, [b, 3, H, W].
        conditions: What the loader brought, mirrored as they are, [b, C, H, W] each.
        unaugmented: Whether the batch has these very images, so that they are encoded already.
    """

    batch_index: Tensor
    images: Tensor
    conditions: Mapping[str, Tensor]
    unaugmented: bool = True


@dataclass(frozen=True)
class MixupImages:
    """Pictures of two people at once.

    Attributes:
        images: Not bounded, about 0..1, [b, 3, H, W].
        partners: The image whose features were mixed into each one's, [b] in 0..b-1; these are the
            first b of those that get views.
        share: How much of each picture is its own image, [b] in 0.5..1.
    """

    images: Tensor
    partners: Tensor
    share: Tensor


@dataclass(frozen=True)
class Views:
    """New views of images.

    Attributes:
        images: Not bounded, about 0..1, [b, V, 3, H, W].
        encoded: What the generator was given to encode with says of them, [b * V], if wanted.
        sample_weight: How much each counts as a positive, [b * V] in 0..1; None is 1.
        others: More drawn pictures by name, [b, 3, H, W] each, that the generator's terms need.
        others_encoded: What the identity encoder says of those.
        mixup: Pictures that mix people, if the generator makes them.
    """

    images: Tensor
    encoded: EncoderOutput | None = None
    sample_weight: Tensor | None = None
    others: Mapping[str, Tensor] = field(default_factory=dict)
    others_encoded: Mapping[str, EncoderOutput] = field(default_factory=dict)
    mixup: MixupImages | None = None


class Painter(Protocol):
    """Draws people from any side, outside training."""

    def turned(self, encoded: EncoderOutput, maps: Tensor) -> Tensor:
        """Draw B people on V maps each, [B, V, C, H, W]; constants [B, V, 3, H, W], about 0..1."""
        ...


@runtime_checkable
class ContentPainter(Painter, Protocol):
    """Draws bodies with the content of an image, too."""

    def anchored(
        self, images: Tensor, encoded: EncoderOutput, here: Tensor, maps: Tensor, share: float
    ) -> Tensor:
        """Draw V maps each with the content of B images, [B, V, 3, H, W], about 0..1 (CLSP)."""
        ...


class ViewOutput(Enum):
    """What contrast takes from a generator."""

    NONE = "nothing"
    """Nothing is contrasted: draw what the generator's own terms need."""
    IMAGES = "pictures"
    """Views, which are then encoded otherwise."""
    FEATURES = "features"
    """Views and what they are encoded to."""


class EncodeFn(Protocol):
    """The identity encoder as the step has set it, frozen or learning, or its slow mean."""

    def __call__(self, *images: Tensor) -> Sequence[EncoderOutput]:
        """Encode one or more batches [b, 3, H, W], each with its own batch statistics."""
        ...


class ViewGenerator(Protocol):
    """Makes views, and the losses that train what makes them.

    Attributes:
        networks: What the generator's optimiser trains; empty for one that reads views from disk.
        discriminator: What the discriminator's optimiser trains; likewise.
    """

    networks: nn.Module
    discriminator: nn.Module

    def usable(self, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Which images can get views, [N]."""
        ...

    def make_conditions(
        self, images: Sequence[Image], pixels: Uint8Array, rng: np.random.Generator
    ) -> ConditionInputs:
        """Choose which images of a batch get views, and make what that needs; runs in a thread.

        Args:
            images: Of the batch.
            pixels: RGB of them, [B, H, W, 3] uint8.
            rng: Source of what is random.
        """
        ...

    def views(
        self,
        sources: ViewInputs,
        encoded: EncoderOutput,
        encode: EncodeFn,
        learning: bool,
        wanted: ViewOutput,
    ) -> Views:
        """Draw views of images that are encoded already.

        Args:
            sources: The images.
            encoded: What the encoder says of them.
            encode: The same encoder, for what is drawn.
            learning: Whether the generator learns, so that ``others`` are drawn where its terms
                need them; else the pictures are constants.
            wanted: By contrast.
        """
        ...

    def show(self, images: Tensor, keys: Sequence[str], encode: EncodeFn) -> Tensor:
        """Columns of a contact sheet for images [B, 3, H, W] of the training set: [B, n, 3, H, W].

        Constants, not bounded, about 0..1.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write what other programs read into a checkpoint, beside the networks' own files."""
        ...

    def discriminator_terms(self, sources: ViewInputs, views: Views, step: int) -> Terms:
        """Losses of the discriminator at step ``step`` of the epoch; none if there is none."""
        ...

    def generator_terms(self, sources: ViewInputs, views: Views, encoded: EncoderOutput) -> Terms:
        """Losses of generator and, when it learns, identity encoder; none if nothing is trained."""
        ...
