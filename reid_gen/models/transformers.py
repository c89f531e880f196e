"""Wrappers that make vision transformers return feature maps and tokens, and a conv stem."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reid_gen.models.normalisation import IBN


class TokensAsMap(nn.Module):
    """Vision transformer whose patch tokens are returned as a feature map.

    Args:
        network: timm's vision transformer without head and pooling.
    """

    network: nn.Module

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Compute the feature map [B, C, h, w] of normalised images [B, 3, H, W]."""
        return self._as_map(self.network(x)[:, self._prefix :])

    @property
    def _prefix(self) -> int:
        return int(self.network.num_prefix_tokens)  # type: ignore[arg-type]

    def _as_map(self, tokens: Tensor) -> Tensor:
        height, width = self.network.patch_embed.grid_size  # type: ignore[union-attr,misc]
        return tokens.transpose(1, 2).reshape(len(tokens), -1, int(height), int(width))


class MapWithClassToken(TokensAsMap):
    """Vision transformer that returns a feature map and its class token."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Compute the feature map [B, C, h, w] and the class token [B, 1, C] of images."""
        tokens = self.network(x)
        return self._as_map(tokens[:, self._prefix :]), tokens[:, :1]


class MapWithPoseToken(TokensAsMap):
    """Vision transformer with an additional learned pose token (GenPoCCL).

    The token is appended before the first block and has no position embedding.

    Args:
        network: timm's vision transformer without head and pooling.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.token = nn.Parameter(torch.zeros(1, 1, int(network.embed_dim)))  # type: ignore[arg-type]
        nn.init.trunc_normal_(self.token, std=0.02)
        network.norm_pre.register_forward_hook(self._append_token)  # type: ignore[union-attr]

    def _append_token(self, _: nn.Module, __: object, tokens: Tensor) -> Tensor:
        return torch.cat([tokens, self.token.expand(len(tokens), -1, -1)], dim=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Compute the feature map [B, C, h, w], and class and pose token [B, 2, C], of images."""
        tokens = self.network(x)
        return self._as_map(tokens[:, self._prefix : -1]), tokens[:, [0, -1]]


def convolutional_stem(channels: int, width: int = 64, patch: int = 16) -> nn.Sequential:
    """Build a patch embedding of four convolutions instead of one (ICS of TransReID-SSL).

    Modules have the names of the published checkpoints.

    Args:
        channels: Width of the transformer.
        width: Channels of the first three convolutions.
        patch: Side of a patch in pixels.
    """
    conv = nn.Sequential(
        nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False), IBN(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False), IBN(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
    )  # fmt: skip
    stem = nn.Sequential()
    stem.add_module("conv", conv)
    stem.add_module("proj", nn.Conv2d(width, channels, patch // 2, stride=patch // 2))
    return stem
