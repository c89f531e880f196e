"""Layers shared by the networks of the GAN."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from reid_gen.choices import Padding

SLOPE = 0.2
"""Negative slope of every LeakyReLU."""
Norm = Literal["none", "instance", "layer"]
"""Padding mode of convolutions: GCL reflects, which on CPU costs a fifth of a step."""


def conv_block(
    in_channels: int,
    out_channels: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    dilation: int = 1,
    norm: Norm = "none",
    activate: bool = True,
    padding: Padding = "reflect",
) -> nn.Sequential:
    """Build a padded convolution, followed by normalisation and LeakyReLU.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel: Kernel size, odd.
        stride: Stride of the convolution.
        dilation: Dilation of the convolution.
        norm: ``instance`` has no parameters; ``layer`` normalises over channels and positions and
            has a scale (initialised uniformly in 0..1) and a shift per channel.
        activate: Whether a LeakyReLU follows.
        padding: Padding mode.
    """
    pad = dilation * (kernel // 2)
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel, stride, pad, dilation, padding_mode=padding)
    ]
    match norm:
        case "instance":
            layers.append(nn.InstanceNorm2d(out_channels))
        case "layer":
            layer_norm = nn.GroupNorm(1, out_channels)
            nn.init.uniform_(layer_norm.weight)
            layers.append(layer_norm)
        case "none":
            pass
    if activate:
        # In place: neither convolution nor normalisation needs its output in the backward pass.
        layers.append(nn.LeakyReLU(SLOPE, inplace=True))
    return nn.Sequential(*layers)


def maybe_checkpoint(module: nn.Module, x: Tensor, gradient_checkpointing: bool) -> Tensor:
    """Apply a module, with gradient checkpointing if requested."""
    output: Tensor
    if gradient_checkpointing:
        output = checkpoint(module, x, use_reentrant=False, preserve_rng_state=False)
    else:
        output = module(x)
    return output


class ResidualBlock(nn.Module):
    """Residual block of two convolutions, the second without activation."""

    def __init__(self, channels: int, norm: Norm, padding: Padding = "reflect") -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_block(channels, channels, norm=norm, padding=padding),
            conv_block(channels, channels, norm=norm, activate=False, padding=padding),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map features [B, C, H, W] to features of the same shape."""
        result: Tensor = x + self.body(x)
        return result


class AdaINResBlock(nn.Module):
    """Residual block of two convolutions, each followed by AdaIN."""

    def __init__(self, channels: int, padding: Padding = "reflect") -> None:
        super().__init__()
        self.first = conv_block(channels, channels, activate=False, padding=padding)
        self.second = conv_block(channels, channels, activate=False, padding=padding)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Map features [B, C, H, W], given scale and shift [B, 2, C] of the two AdaIN layers."""
        y = adaptive_instance_norm(self.first(x), scale[:, 0], shift[:, 0])
        y = self.second(F.leaky_relu(y, SLOPE, inplace=True))
        return x + adaptive_instance_norm(y, scale[:, 1], shift[:, 1])


def adaptive_instance_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Apply AdaIN: ``scale (x - mean(x)) / std(x) + shift`` (Huang and Belongie, 2017).

    Args:
        x: Features, [B, C, H, W].
        scale: Factor per image and channel, without an added 1, [B, C].
        shift: Shift per image and channel, [B, C].

    Returns:
        Features, [B, C, H, W].
    """
    normalised = F.instance_norm(x)
    return normalised * scale[..., None, None] + shift[..., None, None]
