"""GCL+'s D-Mixup: part features of two people mixed before drawing (Chen et al., TPAMI 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta


@dataclass(frozen=True)
class Mixup:
    """Who is mixed with whom, and how much.

    Attributes:
        alpha: Of the Beta(alpha, alpha) that the share is drawn from; GCL+ has 0.6.
    """

    alpha: float

    def __call__(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Draw partners [count] and own shares [count] in 0.5..1."""
        drawn = Beta(self.alpha, self.alpha).sample((count,)).to(device)
        return torch.randperm(count, device=device), torch.maximum(drawn, 1 - drawn)


def mix_parts(parts: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    """``lambda F + (1 - lambda) F_partner`` of part features [b, C, 4]."""
    own = share.view(-1, 1, 1).to(parts.dtype)
    return own * parts + (1 - own) * parts[partners]
