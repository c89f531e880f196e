"""The discriminator D: a patch discriminator at several scales."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from reid_gen.choices import Padding
from reid_gen.generators.gan.blocks import ResidualBlock, conv_block, maybe_checkpoint


class MultiScaleDiscriminator(nn.Module):
    """Independent patch discriminators on the image at full, half, quarter ... size.

    It has no normalisation layers, so generated images of several kinds may share a batch.

    Args:
        width: Channels of the first layers; GCL has 32.
        blocks: Residual blocks per scale; GCL has 4.
        scales: Number of scales; GCL has 3.
        padding: Padding mode; GCL reflects.
        gradient_checkpointing: Whether activations are recomputed in the backward pass instead of
            stored.
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
        self.scales = nn.ModuleList(_patch_network(width, blocks, padding) for _ in range(scales))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Score patches of images [B, 3, H, W]: a map [B, 1, h, w] per scale, towards 1 if real."""
        score_maps = []
        for network in self.scales:
            score_maps.append(maybe_checkpoint(network, images, self.gradient_checkpointing))
            images = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
        return score_maps


def _patch_network(width: int, blocks: int, padding: Padding) -> nn.Sequential:
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
