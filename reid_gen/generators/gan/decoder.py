"""The decoder G: draws a person from structure and part features."""

from __future__ import annotations

from torch import Tensor, nn

from reid_gen.generators.gan.blocks import SLOPE, AdaINResBlock, Padding, conv_block, pass_through


class Decoder(nn.Module):
    """Draws pictures; stripe j of the part features drives block j through AdaIN.

    Args:
        channels: Of the structure; GCL has 128.
        part: Length of one stripe's feature; GCL has 2,048.
        stripes: Stripes, and so styled blocks; GCL has 4.
        hidden: Width of the networks from part feature to scale and shift; GCL has 512.
        padding: At the borders; GCL reflects.
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
        """Draw structure [B, C, h, w] of part features [B, stripes, part] as [B, 3, 4 h, 4 w].

        Values are not bounded: they are colours normalised as the identity encoder's input is.
        """
        x = structure
        for j, block in enumerate(self.blocks):
            scale, shift = (
                mlp[j](parts[:, j]).unflatten(1, (2, -1)) for mlp in (self.scales, self.shifts)
            )
            x = block(x, scale, shift)
        return pass_through(self.out, x, self.gradient_checkpointing)


def _mlp(before: int, hidden: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(before, hidden),
        nn.LeakyReLU(SLOPE),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(SLOPE),
        nn.Linear(hidden, after),
    )


def initialise_generator(module: nn.Module) -> None:
    """Kaiming normal weights by fan-in and biases of 0, for structure encoder and decoder."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=0, mode="fan_in")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
