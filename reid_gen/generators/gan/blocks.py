"""Layers that the generator's networks share."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

SLOPE = 0.2
"""Of every LeakyReLU."""
Norm = Literal["none", "instance", "layer"]
Padding = Literal["reflect", "zeros"]
"""At the borders: GCL reflects, which on CPU costs a fifth of a step."""


def conv_block(
    before: int,
    after: int,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    norm: Norm = "none",
    activate: bool = True,
    padding: Padding = "reflect",
) -> nn.Sequential:
    """Padded convolution, normalisation, LeakyReLU.

    Args:
        before: Channels in.
        after: Channels out.
        kernel: Side of the convolution, odd.
        stride: Of the convolution.
        dilation: Of the convolution.
        norm: ``instance`` has no parameters; ``layer`` is taken over channels and positions, with a
            scale (at first uniform in 0..1) and a shift per channel.
        activate: Whether LeakyReLU comes last.
        padding: At the borders.
    """
    pad = dilation * (kernel // 2)
    layers: list[nn.Module] = [
        nn.Conv2d(before, after, kernel, stride, pad, dilation, padding_mode=padding)
    ]
    match norm:
        case "instance":
            layers.append(nn.InstanceNorm2d(after))
        case "layer":
            whole = nn.GroupNorm(1, after)
            nn.init.uniform_(whole.weight)
            layers.append(whole)
        case "none":
            pass
    if activate:
        # In place, because neither convolution nor normalisation needs what it gave to go back.
        layers.append(nn.LeakyReLU(SLOPE, inplace=True))
    return nn.Sequential(*layers)


def pass_through(module: nn.Module, x: Tensor, gradient_checkpointing: bool) -> Tensor:
    """Apply a module, with gradient checkpointing if asked for."""
    if not gradient_checkpointing:
        result: Tensor = module(x)
        return result
    again: Tensor = checkpoint(module, x, use_reentrant=False, preserve_rng_state=False)
    return again


class ResidualBlock(nn.Module):
    """Two convolutions around which the input passes; the second is not activated."""

    def __init__(self, channels: int, norm: Norm, padding: Padding = "reflect") -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_block(channels, channels, norm=norm, padding=padding),
            conv_block(channels, channels, norm=norm, activate=False, padding=padding),
        )

    def forward(self, x: Tensor) -> Tensor:
        """From [B, C, H, W] to the same."""
        result: Tensor = x + self.body(x)
        return result


class AdaINResBlock(nn.Module):
    """A residual block whose normalisations take scale and shift from outside."""

    def __init__(self, channels: int, padding: Padding = "reflect") -> None:
        super().__init__()
        self.first = conv_block(channels, channels, activate=False, padding=padding)
        self.second = conv_block(channels, channels, activate=False, padding=padding)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Pass x [B, C, H, W] with scale and shift [B, 2, C] of the two normalisations."""
        y = adaptive_instance_norm(self.first(x), scale[:, 0], shift[:, 0])
        y = self.second(F.leaky_relu(y, SLOPE, inplace=True))
        return x + adaptive_instance_norm(y, scale[:, 1], shift[:, 1])


def adaptive_instance_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``scale (x - mean(x)) / std(x) + shift`` per image and channel (Huang and Belongie, 2017).

    Args:
        x: [B, C, H, W].
        scale: Multiplies as it is, without an added 1, [B, C].
        shift: [B, C].

    Returns:
        [B, C, H, W].
    """
    normalised = F.instance_norm(x)
    return normalised * scale[..., None, None] + shift[..., None, None]
