"""Least-squares adversarial losses over several scales, and the penalty on real pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reid_gen.losses.precision import at_least_float32


def real_loss(maps: Sequence[Tensor]) -> Tensor:
    """``sum_s mean (D_s - 1)^2`` (Mao et al., 2017): real pictures for D, drawn ones for G.

    Args:
        maps: What the discriminator says at each scale, [B, 1, h, w] each.

    Returns:
        Scalar.
    """
    return torch.stack([(at_least_float32(judged) - 1).square().mean() for judged in maps]).sum()


def fake_loss(maps: Sequence[Tensor]) -> Tensor:
    """``sum_s mean D_s^2``: drawn pictures for D.

    Args:
        maps: What the discriminator says at each scale, [B, 1, h, w] each.

    Returns:
        Scalar.
    """
    return torch.stack([at_least_float32(judged).square().mean() for judged in maps]).sum()


def gradient_penalty(maps: Sequence[Tensor], pictures: Tensor) -> Tensor:
    """R1: ``sum_s mean_b |grad_x sum D_s(x)|^2`` on real pictures (Mescheder et al., 2018).

    Args:
        maps: What the discriminator says of the pictures at each scale, [B, 1, h, w] each.
        pictures: Real ones that require a gradient, [B, 3, H, W].

    Returns:
        Scalar that can be differentiated again.
    """
    penalties = []
    for judged in maps:
        (gradient,) = torch.autograd.grad(
            at_least_float32(judged).sum(), pictures, create_graph=True
        )
        penalties.append(at_least_float32(gradient).square().sum(dim=(1, 2, 3)).mean())
    return torch.stack(penalties).sum()
