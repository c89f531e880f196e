"""OSNet: streams of several reaches, weighed by a common gate (Zhou et al., ICCV 2019).

Modules are named as in the published checkpoints.
"""

from __future__ import annotations

from torch import Tensor, nn

STREAMS = "abcd"
"""The n-th stream has n light convolutions and reaches 2 n + 1 pixels far."""
REDUCTION = 16


def _normed(channels_in: int, channels: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Convolution and batch norm."""
    made = nn.Sequential()
    made.add_module(
        "conv", nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False)
    )
    made.add_module("bn", nn.BatchNorm2d(channels))
    return made


def _rectified(channels_in: int, channels: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    made = _normed(channels_in, channels, kernel, stride)
    made.add_module("relu", nn.ReLU())
    return made


def _light(channels: int) -> nn.Sequential:
    """A 3 x 3 convolution factorised into mixing channels and then looking around (eq. 2)."""
    made = nn.Sequential()
    made.add_module("conv1", nn.Conv2d(channels, channels, 1, bias=False))
    made.add_module(
        "conv2", nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    )
    made.add_module("bn", nn.BatchNorm2d(channels))
    made.add_module("relu", nn.ReLU())
    return made


class AggregationGate(nn.Module):
    """Weighs channels by what the whole map says (eq. 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.fc2 = nn.Conv2d(channels // REDUCTION, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh a map [B, C, h, w]."""
        weight: Tensor = self.fc2(self.fc1(self.pool(x)).relu()).sigmoid()
        return x * weight


class OmniScaleBlock(nn.Module):
    """Residual block whose streams share one gate (eq. 3)."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        middle = channels // 4
        self.conv1 = _rectified(channels_in, middle)
        self.conv2a = _light(middle)
        for length, name in enumerate(STREAMS[1:], start=2):
            stream = nn.Sequential(*(_light(middle) for _ in range(length)))
            self.add_module(f"conv2{name}", stream)
        self.gate = AggregationGate(middle)
        self.conv3 = _normed(middle, channels)
        same = channels_in == channels
        self.downsample = nn.Identity() if same else _normed(channels_in, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, h, w]."""
        reduced = self.conv1(x)
        streams = [self.gate(getattr(self, f"conv2{name}")(reduced)) for name in STREAMS]
        found: Tensor = self.conv3(sum(streams)) + self.downsample(x)
        return found.relu()


class OSNet(nn.Sequential):
    """Maps images [B, 3, H, W] to [B, C, H / 16, W / 16].

    Args:
        channels: Of the stem and of the three stages; 64, 256, 384, 512 at width 1.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        stem, *stages = channels
        self.add_module("conv1", _rectified(3, stem, kernel=7, stride=2))
        self.add_module("maxpool", nn.MaxPool2d(3, 2, padding=1))
        before = stem
        for number, width in enumerate(stages, start=2):
            blocks: list[nn.Module] = [OmniScaleBlock(before, width), OmniScaleBlock(width, width)]
            if number < 4:
                blocks.append(nn.Sequential(_rectified(width, width), nn.AvgPool2d(2)))
            self.add_module(f"conv{number}", nn.Sequential(*blocks))
            before = width
        self.add_module("conv5", _rectified(before, before))
