"""GCL+'s D-Mixup: mixes the part features of two people (Chen et al., TPAMI 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta

from reid_gen.runtime.transfer import move


@dataclass(frozen=True)
class Mixup:
    """Samples mixup partners and shares.

    Attributes:
        alpha: Parameter of the Beta(alpha, alpha) distribution of the share; GCL+ has 0.6.
    """

    alpha: float

    def __call__(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Sample partners [count] and shares of the first person [count] in 0.5..1."""
        beta = move(Beta(self.alpha, self.alpha).sample((count,)), device)
        return move(torch.randperm(count), device), torch.maximum(beta, 1 - beta)


def mix_parts(parts: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    """Mix part features [b, C, 4]: ``lambda F + (1 - lambda) F_partner``."""
    lam = share.view(-1, 1, 1).to(parts.dtype)
    return lam * parts + (1 - lam) * parts[partners]
