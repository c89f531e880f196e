"""What vision transformers need to serve as backbones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reid_gen.models.normalisation import IBN


class TokensAsMap(nn.Module):
    """Drops a vision transformer's prefix tokens and lays the rest out as a map."""

    network: nn.Module

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, h, w] of normalised images."""
        return self._as_map(self.network(x)[:, self._prefix :])

    @property
    def _prefix(self) -> int:
        return int(self.network.num_prefix_tokens)  # type: ignore[arg-type]

    def _as_map(self, tokens: Tensor) -> Tensor:
        height, width = self.network.patch_embed.grid_size  # type: ignore[union-attr,misc]
        return tokens.transpose(1, 2).reshape(len(tokens), -1, int(height), int(width))


class MapWithClassToken(TokensAsMap):
    """Gives the class token beside the map."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Map [B, C, h, w] of normalised images, and the token [B, 1, C]."""
        tokens = self.network(x)
        return self._as_map(tokens[:, self._prefix :]), tokens[:, :1]


class MapWithPoseToken(TokensAsMap):
    """A vision transformer with one more learned token (GenPoCCL), given after the class token.

    The token goes in before the first block and has no place of its own in the image.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.token = nn.Parameter(torch.zeros(1, 1, int(network.embed_dim)))  # type: ignore[arg-type]
        nn.init.trunc_normal_(self.token, std=0.02)
        network.norm_pre.register_forward_hook(self._append)  # type: ignore[union-attr]

    def _append(self, _: nn.Module, __: object, tokens: Tensor) -> Tensor:
        return torch.cat([tokens, self.token.expand(len(tokens), -1, -1)], dim=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Map [B, C, h, w] of normalised images, and both tokens [B, 2, C]."""
        tokens = self.network(x)
        return self._as_map(tokens[:, self._prefix : -1]), tokens[:, [0, -1]]


def convolutional_stem(channels: int, width: int = 64, patch: int = 16) -> nn.Sequential:
    """Patches by four convolutions instead of one (TransReID-SSL's ICS).

    Modules are named as in the published checkpoints.
    """
    conv = nn.Sequential(
        nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False), IBN(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False), IBN(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
    )  # fmt: skip
    made = nn.Sequential()
    made.add_module("conv", conv)
    made.add_module("proj", nn.Conv2d(width, channels, patch // 2, stride=patch // 2))
    return made
