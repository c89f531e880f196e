"""The structure encoder E_str: pose and viewpoint features of a body map."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from reid_gen.choices import Padding
from reid_gen.generators.gan.blocks import ResidualBlock, conv_block

_RATES = (3, 6, 9)


class StructureEncoder(nn.Module):
    """Encodes body maps [B, C, H, W] in -1..1 to structure [B, 8 width, H / 4, W / 4].

    Args:
        channels: Channels C of the body maps.
        width: Channels of the first layer; GCL has 16.
        blocks: Residual blocks; GCL has 4.
        pyramid: Whether the last layer is an ASPP, as in GCL; otherwise a 1 x 1 convolution.
        padding: Padding mode; GCL reflects.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 16,
        blocks: int = 4,
        pyramid: bool = True,
        padding: Padding = "reflect",
    ) -> None:
        super().__init__()
        self.out_channels = 8 * width
        inner = 4 * width
        normed = partial(conv_block, norm="instance", padding=padding)
        self.layers = nn.Sequential(
            normed(channels, width, stride=2),
            normed(width, 2 * width),
            normed(2 * width, 2 * width),
            normed(2 * width, inner, stride=2),
            *(ResidualBlock(inner, "instance", padding) for _ in range(blocks)),
            _ASPP(inner, padding) if pyramid else normed(inner, self.out_channels, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Encode body maps."""
        structure: Tensor = self.layers(maps)
        return structure


class _ASPP(nn.Module):
    """Parallel dilated convolutions of several rates, fused (ASPP, Chen et al., 2017)."""

    def __init__(self, channels: int, padding: Padding) -> None:
        super().__init__()
        branch = channels // 2
        normed = partial(conv_block, norm="instance", padding=padding)
        self.near = normed(channels, branch, 1)
        self.far = nn.ModuleList(
            nn.Sequential(normed(channels, branch, 1), normed(branch, branch, dilation=rate))
            for rate in _RATES
        )
        self.fuse = normed(4 * branch, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.cat([self.near(x), *(branch(x) for branch in self.far)], dim=1)
        fused: Tensor = self.fuse(branches)
        return fused
