"""The identity encoder E_id: backbone, pooling, batch-norm neck."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import torch
from pydantic import ConfigDict, Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from reid_gen.errors import UserError
from reid_gen.models.backbone import Backbone, Request, create_backbone, map_shape
from reid_gen.models.normalisation import use_ghost_batches
from reid_gen.models.pooling import POOLINGS
from reid_gen.models.weight_files import ENCODER, weight_file
from reid_gen.models.weights import load_strictly, read_backbone

STRIPES = 4
"""Of the part features."""
TOKEN = "token"
Side = Annotated[int, Field(ge=1, le=4096)]
"""Pixels, where a card is read from a file."""


FeatureExtractor = Callable[[Tensor], Tensor]
"""Images in 0..1, [B, 3, H, W], to unit features [B, D]; in evaluation mode."""


@dataclass(frozen=True)
class EncoderCard:
    """All that is needed to build the same encoder again around its weights.

    Attributes:
        backbone: A key of ``BACKBONES``.
        pooling: A key of ``POOLINGS``, or ``token``: a transformer's class token.
        height: Rows of the input images.
        width: Columns of the input images.
        last_stride: 1 or 2 for convolutional backbones, None for transformers.
        embedding: Length that a linear layer brings features to; None has none.
        pose_token: Whether a transformer has one more token, for poses.
        rectified: Whether negative values of features are cut off (OSNet).
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    backbone: str
    pooling: str
    height: Side
    width: Side
    last_stride: int | None = 1
    embedding: PositiveInt | None = None
    pose_token: bool = False
    rectified: bool = False

    def as_dict(self) -> dict[str, str | int | None]:
        """The card as plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Encoded:
    """What the identity encoder says of images.

    Attributes:
        feature: Unit features for re-ID, [B, D] float32.
        parts: Mean of the backbone's map in horizontal stripes, top first, for a generator,
            [B, C, STRIPES].
        token: What a transformer's pose token has become, [B, C]; None if it has none.
    """

    feature: Tensor
    parts: Tensor
    token: Tensor | None = None

    def at(self, places: Tensor | slice) -> Encoded:
        """Those of some of the images."""
        token = None if self.token is None else self.token[places]
        return Encoded(self.feature[places], self.parts[places], token)

    @property
    def pose(self) -> Tensor:
        """What a pose head reads: the pose token, or the mean of the map, [B, C]."""
        return self.parts.mean(dim=2) if self.token is None else self.token


class IdentityEncoder(nn.Module):
    """Maps images to L2-normalised features.

    The batch-norm neck (Luo et al., CVPRW 2019) has no bias; in evaluation mode of an untrained
    encoder it changes nothing, so the features are the backbone's pooled ones.
    """

    mean: Tensor
    std: Tensor
    channels: int
    """C, of the backbone's map."""

    def __init__(
        self,
        backbone: Backbone,
        pooling: str,
        channels: int,
        embedding: int | None = None,
        rectified: bool = False,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.rectified = rectified
        self.backbone = backbone.network
        self.pooling = None if pooling == TOKEN else POOLINGS[pooling]()
        self.embedding = nn.Linear(channels, embedding) if embedding else nn.Identity()
        self.neck = nn.BatchNorm1d(embedding or channels)
        self.neck.bias.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1))

    @property
    def feature_size(self) -> int:
        """D, the length of a feature."""
        return self.neck.num_features

    def forward(self, images: Tensor) -> Tensor:
        """Encode RGB images in 0..1, [B, 3, H, W], to unit features [B, D] in float32."""
        return self._feature(*self.forward_features(images))

    def encode(self, images: Tensor) -> Encoded:
        """Encode RGB images in 0..1, [B, 3, H, W], for re-ID and for a generator."""
        return self.forward_head(*self.forward_features(images))

    def forward_features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """The backbone's map [B, C, h, w] of RGB images in 0..1, and tokens if it gives any."""
        x = (images - self.mean) / self.std
        found = self.backbone(x.contiguous(memory_format=torch.channels_last))
        return found if isinstance(found, tuple) else (found, None)

    def forward_head(self, found: Tensor, tokens: Tensor | None = None) -> Encoded:
        """What a map [B, C, h, w] and tokens [B, T, C] say, for re-ID, generator and pose head."""
        stripes = F.adaptive_avg_pool2d(found, (STRIPES, 1)).flatten(2)
        pose = tokens[:, 1] if tokens is not None and tokens.shape[1] > 1 else None
        return Encoded(self._feature(found, tokens), stripes, pose)

    def _feature(self, found: Tensor, tokens: Tensor | None) -> Tensor:
        if self.pooling is not None:
            pooled = self.pooling(found)
        else:
            assert tokens is not None
            pooled = tokens[:, 0]
        feature: Tensor = self.neck(self.embedding(pooled)).float()
        return F.normalize(feature.relu() if self.rectified else feature, dim=1)


def create_encoder(
    card: EncoderCard, weights: str | None = None, ghost_batch: int | None = None
) -> IdentityEncoder:
    """Build an encoder.

    Args:
        card: Architecture and input size.
        weights: Where the backbone starts: None (random), a weight file (by suffix) of a backbone
            or of an encoder, one of ``weights.BUILT_IN``, or a hub name.
        ghost_batch: Images per batch-norm group in training; None takes the whole batch.

    Returns:
        The encoder, in training mode.

    Raises:
        UserError: If the backbone or its weights are unknown or do not fit.
    """
    if card.pooling not in (*POOLINGS, TOKEN):
        raise UserError(f"unknown pooling {card.pooling!r}; known: {', '.join((*POOLINGS, TOKEN))}")
    file = weight_file(weights)
    request = Request(
        name=card.backbone,
        height=card.height,
        width=card.width,
        last_stride=card.last_stride,
        hub=None if file else weights,
        pose_token=card.pose_token,
        class_token=card.pooling == TOKEN,
    )
    backbone = create_backbone(request)
    if file:
        load_strictly(
            backbone.trunk,
            read_backbone(file),
            str(file),
            left_out=backbone.classifier,
            way_out=f"give weights made for {card.backbone}; if another toolbox wrote the file, "
            f"make a model of it: reid-gen zoo import {file} --out DIR, and give DIR/{ENCODER}",
        )
    channels, *_ = map_shape(backbone.network, card.height, card.width)
    encoder = IdentityEncoder(backbone, card.pooling, channels, card.embedding, card.rectified)
    if ghost_batch is not None:
        use_ghost_batches(encoder, ghost_batch)
    return encoder.to(memory_format=torch.channels_last)
