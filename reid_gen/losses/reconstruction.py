"""What drawn pictures and their features must give back."""

from __future__ import annotations

from torch import Tensor

from reid_gen.losses.precision import precise


def mean_absolute(found: Tensor, wanted: Tensor) -> Tensor:
    """``mean |found - wanted|`` over all elements; no gradient reaches ``wanted``.

    The image terms (GCL's self and cycle reconstruction) and the feature terms share it.

    Args:
        found: [B, ...].
        wanted: [B, ...].

    Returns:
        Scalar, in float32.
    """
    return (precise(found) - precise(wanted.detach())).abs().mean()


def masked_absolute(found: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """``mean |found - wanted|`` over what was hidden (SimMIM, eq. 1).

    Args:
        found: Pictures, [B, 3, H, W].
        wanted: Likewise.
        mask: 1 where a pixel was hidden, [B, 1, H, W].

    Returns:
        Scalar, in float32; 0 if nothing was hidden.
    """
    error = (precise(found) - precise(wanted.detach())).abs().mean(dim=1, keepdim=True)
    return (error * mask).sum() / mask.sum().clamp(min=1)
