"""The interface between view generators and the training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from reid_gen.data.loaders import ConditionInputs
from reid_gen.models.encoder import EncoderOutput
from reid_gen.types import Image, Uint8Array

Terms = Mapping[str, Tensor]
"""Unweighted loss terms by name, each a scalar."""


@dataclass(frozen=True)
class ViewInputs:
    """Source images of a batch, from which views are generated.

    Attributes:
        batch_index: Positions of the source images in the batch, [b].
        images: Source images, flipped at most, in 0..1, [b, 3, H, W].
        conditions: Condition images by name, flipped as the source images, [b, C, H, W] each.
        unaugmented: Whether the batch holds exactly these images, so that their features are
            already computed.
        sample_weight: Sample weights of the views in 0..1, [b, V]; None weighs all by 1.
    """

    batch_index: Tensor
    images: Tensor
    conditions: Mapping[str, Tensor]
    unaugmented: bool = True
    sample_weight: Tensor | None = None


@dataclass(frozen=True)
class MixupImages:
    """Generated images that mix the identity features of two source images each (GCL+).

    Attributes:
        images: Generated images, about 0..1, not clipped, [b, 3, H, W].
        partners: Index of the second source image of each, [b] in 0..b-1.
        share: Share of the first source image, which is at the same position, [b] in 0.5..1.
    """

    images: Tensor
    partners: Tensor
    share: Tensor


@dataclass(frozen=True)
class Views:
    """Generated views and the by-products that the generator's losses need.

    Attributes:
        images: V views of each source image, about 0..1, not clipped, [b, V, 3, H, W].
        encoded: Encoder output of the views, [b * V]; None unless features were requested.
        sample_weight: Weight of each view as a positive in 0..1, [b * V]; None weighs all by 1.
        auxiliary: Further generated images by name (such as reconstructions), [b, 3, H, W] each.
        auxiliary_encoded: Encoder outputs that the generator's losses need, by name.
        mixup: Mixup images; None if the generator makes none.
    """

    images: Tensor
    encoded: EncoderOutput | None = None
    sample_weight: Tensor | None = None
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)
    auxiliary_encoded: Mapping[str, EncoderOutput] = field(default_factory=dict)
    mixup: MixupImages | None = None


class Painter(Protocol):
    """Generates people from identity features and body maps, outside training."""

    def render(self, encoded: EncoderOutput, maps: Tensor) -> Tensor:
        """Render B people on V body maps each, without gradient.

        Args:
            encoded: Encoder output of the source images, [B].
            maps: Body maps, [B, V, C, H, W].

        Returns:
            Images, about 0..1, [B, V, 3, H, W].
        """
        ...


@runtime_checkable
class ContentPainter(Painter, Protocol):
    """A painter that can also transfer the content of an image (CLSP)."""

    def render_anchored(
        self,
        images: Tensor,
        encoded: EncoderOutput,
        anchor_maps: Tensor,
        maps: Tensor,
        share: float,
    ) -> Tensor:
        """Render V body maps with the content of each of B anchor images, without gradient.

        Args:
            images: Anchor images in 0..1, [B, 3, H, W].
            encoded: Encoder output of the anchor images, [B].
            anchor_maps: Body maps of the anchor images, [B, C, H, W].
            maps: Body maps to render, [B, V, C, H, W].
            share: Share of the rendered image's own bottleneck features, in 0..1.

        Returns:
            Images, about 0..1, [B, V, 3, H, W].
        """
        ...


class ViewOutput(Enum):
    """What the contrastive loss needs from a generator."""

    NONE = "none"
    """Nothing: generate only what the generator's own losses need."""
    IMAGES = "images"
    """Views; the training step encodes them itself."""
    FEATURES = "features"
    """Views and their encoder output."""


class EncodeFn(Protocol):
    """The identity encoder as the training step configured it: frozen, trained, or its EMA."""

    def __call__(self, *images: Tensor) -> Sequence[EncoderOutput]:
        """Encode one or more batches [b, 3, H, W], each with its own batch statistics."""
        ...


class ViewGenerator(Protocol):
    """Generates views and computes the losses that train the generator.

    Attributes:
        networks: Module that the generator's optimiser trains; empty for views read from disk.
        discriminator: Module that the discriminator's optimiser trains; empty if there is none.
    """

    networks: nn.Module
    discriminator: nn.Module

    def usable(self, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Mark the images for which views can be generated, [N]."""
        ...

    def make_conditions(
        self, images: Sequence[Image], pixels: Uint8Array, rng: np.random.Generator
    ) -> ConditionInputs:
        """Choose the source images of a batch and prepare their inputs; runs in a loader thread.

        Args:
            images: Images of the batch.
            pixels: Decoded images, RGB in 0..255, [B, H, W, 3].
            rng: Random number generator.
        """
        ...

    def views(
        self,
        sources: ViewInputs,
        encoded: EncoderOutput,
        encode: EncodeFn,
        requires_grad: bool,
        output: ViewOutput,
    ) -> Views:
        """Generate views of source images that are already encoded.

        Args:
            sources: Source images and their conditions.
            encoded: Encoder output of the source images.
            encode: The same encoder, for generated images.
            requires_grad: Whether the generator is trained, so that its auxiliary images are
                generated as well; otherwise all generated images are constants.
            output: What the contrastive loss needs.
        """
        ...

    def preview(self, images: Tensor, keys: Sequence[str], encode: EncodeFn) -> Tensor:
        """Generate the columns of a contact sheet, without gradient.

        Args:
            images: Training images in 0..1, [B, 3, H, W].
            keys: Keys of these images.
            encode: The identity encoder.

        Returns:
            n columns, about 0..1, not clipped, [B, n, 3, H, W].
        """
        ...

    def save(self, folder: Path) -> None:
        """Add files for other programs to a checkpoint, beside the networks' own files."""
        ...

    def discriminator_terms(self, sources: ViewInputs, views: Views, step: int) -> Terms:
        """Compute the discriminator's losses at step ``step`` of the epoch; empty without one."""
        ...

    def generator_terms(self, sources: ViewInputs, views: Views, encoded: EncoderOutput) -> Terms:
        """Compute the generator's losses, which may reach the encoder; empty if not trained."""
        ...
