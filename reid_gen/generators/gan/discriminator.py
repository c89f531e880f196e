"""The discriminator D: judges pictures at several scales."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from reid_gen.generators.gan.blocks import Padding, ResidualBlock, conv_block, pass_through


class MultiScaleDiscriminator(nn.Module):
    """Independent copies that see the picture at full, half, quarter ... size.

    There is no normalisation, so that pictures of several kinds may share a batch.

    Args:
        width: Channels of the first layers; GCL has 32.
        blocks: Residual blocks of a copy; GCL has 4.
        scales: Copies; GCL has 3.
        padding: At the borders; GCL reflects.
        gradient_checkpointing: Whether all is computed again for the way back instead of kept.
    """

    def __init__(
        self,
        width: int = 32,
        blocks: int = 4,
        scales: int = 3,
        padding: Padding = "reflect",
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.gradient_checkpointing = gradient_checkpointing
        self.scales = nn.ModuleList(_one_scale(width, blocks, padding) for _ in range(scales))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Judge pictures [B, 3, H, W]: one map [B, 1, h, w] per scale, about 1 where real."""
        maps = []
        for judge in self.scales:
            maps.append(pass_through(judge, pictures, self.gradient_checkpointing))
            pictures = F.avg_pool2d(pictures, 3, 2, 1, count_include_pad=False)
        return maps


def _one_scale(width: int, blocks: int, padding: Padding) -> nn.Sequential:
    padded = partial(conv_block, padding=padding)
    return nn.Sequential(
        padded(3, width, 1),
        padded(width, width),
        padded(width, width, stride=2),
        padded(width, width),
        padded(width, 2 * width, stride=2),
        *(ResidualBlock(2 * width, "none", padding) for _ in range(blocks)),
        nn.Conv2d(2 * width, 1, 1),
    )
