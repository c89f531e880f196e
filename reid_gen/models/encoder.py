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
from reid_gen.models.backbone import Backbone, BackboneSpec, create_backbone, feature_map_shape
from reid_gen.models.normalisation import use_ghost_batches
from reid_gen.models.pooling import POOLINGS
from reid_gen.models.weight_files import ENCODER_FILE, weight_file
from reid_gen.models.weights import load_strictly, read_backbone_weights

PART_STRIPES = 4
"""Number of horizontal stripes of the part features (as in PCB)."""
TOKEN_POOLING = "token"
Side = Annotated[int, Field(ge=1, le=4096)]
"""Image height or width in pixels, as a checkpoint card may state it."""


FeatureExtractor = Callable[[Tensor], Tensor]
"""Maps images [B, 3, H, W], float in 0..1 or uint8 in 0..255, to L2-normalised features [B, D]; in
evaluation mode."""


@dataclass(frozen=True)
class EncoderCard:
    """Architecture and input size of an encoder: all that is needed to rebuild it from its weights.

    Attributes:
        backbone: A key of ``BACKBONES``.
        pooling: A key of ``POOLINGS``, or ``token`` for a transformer's class token.
        height: Height of the input images in pixels.
        width: Width of the input images in pixels.
        last_stride: Stride of the last stage, 1 or 2, of a CNN; None for a transformer.
        embedding: Output size of a linear layer between pooling and neck; None has no such layer.
        pose_token: Whether a transformer has an additional learned token for poses.
        rectified: Whether a ReLU follows the neck (OSNet).
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
class EncoderOutput:
    """Features of a batch of images.

    Attributes:
        feature: L2-normalised re-ID features, [B, D] float32.
        parts: Mean of the backbone's feature map in horizontal stripes, top first, which condition
            a generator, [B, C, PART_STRIPES].
        token: Output of a transformer's pose token, [B, C]; None if it has none.
    """

    feature: Tensor
    parts: Tensor
    token: Tensor | None = None

    def select(self, index: Tensor | slice) -> EncoderOutput:
        """Features of the images at these positions of the batch."""
        token = None if self.token is None else self.token[index]
        return EncoderOutput(self.feature[index], self.parts[index], token)

    @property
    def pose(self) -> Tensor:
        """Input of a pose head, [B, C]: the pose token, or the mean of the feature map."""
        return self.parts.mean(dim=2) if self.token is None else self.token


class IdentityEncoder(nn.Module):
    """Maps images to L2-normalised features.

    The batch-norm neck (BNNeck, Luo et al., CVPRW 2019) has no bias. Untrained and in evaluation
    mode it is the identity, so that features are the pooled features of the backbone.
    """

    mean: Tensor
    std: Tensor
    channels: int
    """Number of channels C of the backbone's feature map."""

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
        self.pooling = None if pooling == TOKEN_POOLING else POOLINGS[pooling]()
        self.embedding = nn.Linear(channels, embedding) if embedding else nn.Identity()
        self.neck = nn.BatchNorm1d(embedding or channels)
        self.neck.bias.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1))

    @property
    def feature_size(self) -> int:
        """Feature dimension D."""
        return self.neck.num_features

    def forward(self, images: Tensor) -> Tensor:
        """Encode RGB images in 0..1, [B, 3, H, W], to L2-normalised features [B, D], float32."""
        return self._feature(*self.forward_features(images))

    def encode(self, images: Tensor) -> EncoderOutput:
        """Encode RGB images in 0..1, [B, 3, H, W], to re-ID, part and pose features."""
        return self.forward_head(*self.forward_features(images))

    def forward_features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the feature map [B, C, h, w] of RGB images in 0..1, and any tokens [B, T, C]."""
        x = (images - self.mean) / self.std
        output = self.backbone(x.contiguous(memory_format=torch.channels_last))
        return output if isinstance(output, tuple) else (output, None)

    def forward_head(self, feature_map: Tensor, tokens: Tensor | None = None) -> EncoderOutput:
        """Compute features from a feature map [B, C, h, w] and any tokens [B, T, C]."""
        parts = F.adaptive_avg_pool2d(feature_map, (PART_STRIPES, 1)).flatten(2)
        pose_token = tokens[:, 1] if tokens is not None and tokens.shape[1] > 1 else None
        return EncoderOutput(self._feature(feature_map, tokens), parts, pose_token)

    def _feature(self, feature_map: Tensor, tokens: Tensor | None) -> Tensor:
        if self.pooling is not None:
            pooled = self.pooling(feature_map)
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
        weights: Initial weights of the backbone: None (random), a weight file of a backbone or an
            encoder (recognised by its suffix), one of ``weight_files.BUILT_IN``, or a hub name.
        ghost_batch: Images per batch-norm group in training; None uses the whole batch.

    Returns:
        The encoder, in training mode.

    Raises:
        UserError: If the backbone or its weights are unknown or do not fit.
    """
    if card.pooling not in (*POOLINGS, TOKEN_POOLING):
        raise UserError(
            f"unknown pooling {card.pooling!r}; known: {', '.join((*POOLINGS, TOKEN_POOLING))}"
        )
    file = weight_file(weights)
    spec = BackboneSpec(
        name=card.backbone,
        height=card.height,
        width=card.width,
        last_stride=card.last_stride,
        hub=None if file else weights,
        pose_token=card.pose_token,
        class_token=card.pooling == TOKEN_POOLING,
    )
    backbone = create_backbone(spec)
    if file:
        load_strictly(
            backbone.trunk,
            read_backbone_weights(file),
            str(file),
            ignored_prefixes=backbone.classifier,
            way_out=f"give weights made for {card.backbone}; if another toolbox wrote the file, "
            f"import it with: reid-gen zoo import {file} --out DIR, and give DIR/{ENCODER_FILE}",
        )
    channels, *_ = feature_map_shape(backbone.network, card.height, card.width)
    encoder = IdentityEncoder(backbone, card.pooling, channels, card.embedding, card.rectified)
    if ghost_batch is not None:
        use_ghost_batches(encoder, ghost_batch)
    return encoder.to(memory_format=torch.channels_last)
