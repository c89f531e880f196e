"""Least-squares GAN losses over several scales, and the R1 gradient penalty."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reid_gen.losses.precision import at_least_float32


def real_loss(score_maps: Sequence[Tensor]) -> Tensor:
    """``sum_s mean (D_s - 1)^2`` (Mao et al., 2017): for D on real images, for G on generated.

    Args:
        score_maps: Discriminator scores per scale, [B, 1, h, w] each.

    Returns:
        Scalar.
    """
    losses = [(at_least_float32(scores) - 1).square().mean() for scores in score_maps]
    return torch.stack(losses).sum()


def fake_loss(score_maps: Sequence[Tensor]) -> Tensor:
    """``sum_s mean D_s^2`` (Mao et al., 2017): for D on generated images.

    Args:
        score_maps: Discriminator scores per scale, [B, 1, h, w] each.

    Returns:
        Scalar.
    """
    return torch.stack([at_least_float32(scores).square().mean() for scores in score_maps]).sum()


def gradient_penalty(score_maps: Sequence[Tensor], images: Tensor) -> Tensor:
    """R1: ``sum_s mean_b |grad_x sum D_s(x)|^2`` on real images (Mescheder et al., 2018).

    Args:
        score_maps: Discriminator scores of the images per scale, [B, 1, h, w] each.
        images: Real images that require a gradient, [B, 3, H, W].

    Returns:
        Scalar with a graph for double backward.
    """
    penalties = []
    for scores in score_maps:
        (gradient,) = torch.autograd.grad(at_least_float32(scores).sum(), images, create_graph=True)
        penalties.append(at_least_float32(gradient).square().sum(dim=(1, 2, 3)).mean())
    return torch.stack(penalties).sum()
