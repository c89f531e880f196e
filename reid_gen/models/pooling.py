"""Pooling layers that reduce a feature map to one vector: ``avg``, ``max`` and ``gem``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GlobalGeMPool(nn.Module):
    """GeM pooling: ``(mean over h, w of x^p)^(1/p)`` (Radenovic et al., TPAMI 2019, eq. 3).

    p = 1 is average pooling, p -> infinity is max pooling; p is learned.

    Args:
        power: Initial value of p.
        floor: Minimum to which ``x`` is clamped.
    """

    def __init__(self, power: float = 3.0, floor: float = 1e-6) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor([power]))
        self.floor = floor

    def forward(self, x: Tensor) -> Tensor:
        """Pool [B, C, h, w] to [B, C], in float32 whatever the precision of ``x``."""
        raised = x.float().clamp(min=self.floor).pow(self.power)
        return raised.mean(dim=(2, 3)).pow(1.0 / self.power)


class GlobalAvgPool(nn.Module):
    """Global average pooling."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool [B, C, h, w] to [B, C]."""
        return x.mean(dim=(2, 3))


class GlobalMaxPool(nn.Module):
    """Global max pooling."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool [B, C, h, w] to [B, C]."""
        return F.adaptive_max_pool2d(x, 1).flatten(1)


POOLINGS: dict[str, type[nn.Module]] = {
    "avg": GlobalAvgPool,
    "max": GlobalMaxPool,
    "gem": GlobalGeMPool,
}
