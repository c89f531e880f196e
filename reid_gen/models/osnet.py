"""OSNet: omni-scale residual blocks with a unified aggregation gate (Zhou et al., ICCV 2019).

Modules have the names of the published checkpoints.
"""

from __future__ import annotations

from torch import Tensor, nn

STREAMS = "abcd"
"""Names of the streams; the n-th has n light 3 x 3 convolutions, a receptive field of 2 n + 1."""
REDUCTION = 16
"""Channel reduction in the aggregation gate."""


def _conv_bn(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1
) -> nn.Sequential:
    """Convolution and batch norm."""
    layers = nn.Sequential()
    layers.add_module(
        "conv", nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    )
    layers.add_module("bn", nn.BatchNorm2d(out_channels))
    return layers


def _conv_bn_relu(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1
) -> nn.Sequential:
    layers = _conv_bn(in_channels, out_channels, kernel, stride)
    layers.add_module("relu", nn.ReLU())
    return layers


def _light_conv3x3(channels: int) -> nn.Sequential:
    """Lite 3 x 3 layer: pointwise, then depthwise convolution, batch norm and ReLU (eq. 2)."""
    layers = nn.Sequential()
    layers.add_module("conv1", nn.Conv2d(channels, channels, 1, bias=False))
    layers.add_module(
        "conv2", nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    )
    layers.add_module("bn", nn.BatchNorm2d(channels))
    layers.add_module("relu", nn.ReLU())
    return layers


class AggregationGate(nn.Module):
    """Unified aggregation gate: scales channels by weights of the pooled feature map (eq. 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.fc2 = nn.Conv2d(channels // REDUCTION, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of a feature map [B, C, h, w]."""
        weight: Tensor = self.fc2(self.fc1(self.pool(x)).relu()).sigmoid()
        return x * weight


class OmniScaleBlock(nn.Module):
    """Residual block whose streams share one gate (eq. 3)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        bottleneck = out_channels // 4
        self.conv1 = _conv_bn_relu(in_channels, bottleneck)
        self.conv2a = _light_conv3x3(bottleneck)
        for depth, name in enumerate(STREAMS[1:], start=2):
            stream = nn.Sequential(*(_light_conv3x3(bottleneck) for _ in range(depth)))
            self.add_module(f"conv2{name}", stream)
        self.gate = AggregationGate(bottleneck)
        self.conv3 = _conv_bn(bottleneck, out_channels)
        self.downsample = (
            nn.Identity() if in_channels == out_channels else _conv_bn(in_channels, out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, h, w] to [B, out_channels, h, w]."""
        reduced = self.conv1(x)
        streams = [self.gate(getattr(self, f"conv2{name}")(reduced)) for name in STREAMS]
        output: Tensor = self.conv3(sum(streams)) + self.downsample(x)
        return output.relu()


class OSNet(nn.Sequential):
    """Maps images [B, 3, H, W] to [B, C, H / 16, W / 16].

    Args:
        channels: Channels of the stem and of the three stages; 64, 256, 384, 512 for OSNet x1.0.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        stem, *stages = channels
        self.add_module("conv1", _conv_bn_relu(3, stem, kernel=7, stride=2))
        self.add_module("maxpool", nn.MaxPool2d(3, 2, padding=1))
        in_channels = stem
        for number, width in enumerate(stages, start=2):
            blocks: list[nn.Module] = [
                OmniScaleBlock(in_channels, width),
                OmniScaleBlock(width, width),
            ]
            if number < 4:
                blocks.append(nn.Sequential(_conv_bn_relu(width, width), nn.AvgPool2d(2)))
            self.add_module(f"conv{number}", nn.Sequential(*blocks))
            in_channels = width
        self.add_module("conv5", _conv_bn_relu(in_channels, in_channels))
