"""The decoder G: generates an image from structure features and part features."""

from __future__ import annotations

from torch import Tensor, nn

from reid_gen.choices import Padding
from reid_gen.generators.gan.blocks import SLOPE, AdaINResBlock, conv_block, maybe_checkpoint


class Decoder(nn.Module):
    """Decodes structure features to images; part feature j modulates AdaIN block j.

    Args:
        channels: Channels of the structure features; GCL has 128.
        part: Length of a part feature; GCL has 2,048.
        stripes: Number of part features, and so of AdaIN blocks; GCL has 4.
        hidden: Width of the MLPs from part features to scales and shifts; GCL has 512.
        padding: Padding mode; GCL reflects.
        gradient_checkpointing: Whether activations above the structure's size are recomputed in the
            backward pass instead of stored.
    """

    def __init__(
        self,
        channels: int = 128,
        part: int = 2048,
        stripes: int = 4,
        hidden: int = 512,
        padding: Padding = "reflect",
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.gradient_checkpointing = gradient_checkpointing
        self.scales = nn.ModuleList(_mlp(part, hidden, 2 * channels) for _ in range(stripes))
        self.shifts = nn.ModuleList(_mlp(part, hidden, 2 * channels) for _ in range(stripes))
        self.blocks = nn.ModuleList(AdaINResBlock(channels, padding) for _ in range(stripes))
        half, quarter = channels // 2, channels // 4
        self.out = nn.Sequential(
            nn.Upsample(scale_factor=2),
            conv_block(channels, half, 5, norm="layer", padding=padding),
            nn.Upsample(scale_factor=2),
            conv_block(half, quarter, 5, norm="layer", padding=padding),
            conv_block(quarter, quarter, padding=padding),
            conv_block(quarter, quarter, padding=padding),
            nn.Conv2d(quarter, 3, 1),
        )

    def forward(self, structure: Tensor, parts: Tensor) -> Tensor:
        """Generate images, unbounded and normalised as the identity encoder's input.

        Args:
            structure: Structure features, [B, C, h, w].
            parts: Part features, [B, stripes, part].

        Returns:
            Images, [B, 3, 4 h, 4 w].
        """
        x = structure
        for j, block in enumerate(self.blocks):
            scale, shift = (  # [B, 2, C] each
                mlp[j](parts[:, j]).unflatten(1, (2, -1)) for mlp in (self.scales, self.shifts)
            )
            x = block(x, scale, shift)
        return maybe_checkpoint(self.out, x, self.gradient_checkpointing)


def _mlp(in_features: int, hidden: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_features, hidden),
        nn.LeakyReLU(SLOPE),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(SLOPE),
        nn.Linear(hidden, out_features),
    )


def initialise_generator(module: nn.Module) -> None:
    """Initialise weights Kaiming normal by fan-in and biases with 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=0, mode="fan_in")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
