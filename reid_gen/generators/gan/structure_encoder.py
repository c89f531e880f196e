"""The structure encoder E_str: what a body map says of pose and viewpoint."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from reid_gen.generators.gan.blocks import Padding, ResidualBlock, conv_block

_RATES = (3, 6, 9)


class StructureEncoder(nn.Module):
    """Maps body pictures [B, C, H, W] in -1..1 to structure [B, 8 width, H / 4, W / 4].

    Args:
        channels: C of the pictures.
        width: Channels of the first layer; GCL has 16.
        blocks: Residual blocks; GCL has 4.
        pyramid: Whether dilated convolutions see far at the end, as in GCL; else one 1 x 1 does.
        padding: At the borders; GCL reflects.
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

    def forward(self, pictures: Tensor) -> Tensor:
        """Encode pictures."""
        structure: Tensor = self.layers(pictures)
        return structure


class _ASPP(nn.Module):
    """Views of one map at growing distances, side by side (ASPP, Chen et al., 2017)."""

    def __init__(self, inner: int, padding: Padding) -> None:
        super().__init__()
        quarter = inner // 2
        normed = partial(conv_block, norm="instance", padding=padding)
        self.near = normed(inner, quarter, 1)
        self.far = nn.ModuleList(
            nn.Sequential(normed(inner, quarter, 1), normed(quarter, quarter, dilation=rate))
            for rate in _RATES
        )
        self.fuse = normed(4 * quarter, 2 * inner, 1)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([self.near(x), *(branch(x) for branch in self.far)], dim=1)
        fused: Tensor = self.fuse(joined)
        return fused
