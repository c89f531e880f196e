"""What drawn pictures and their features must give back."""

from __future__ import annotations

from torch import Tensor

from reid_gen.losses.precision import at_least_float32


def mean_absolute(found: Tensor, wanted: Tensor) -> Tensor:
    """``mean |found - wanted|`` over all elements; no gradient reaches ``wanted``.

    GCL's feature terms, and, where all pixels count alike, its image and cycle terms.

    Args:
        found: [B, ...].
        wanted: [B, ...].

    Returns:
        Scalar, in float32.
    """
    return (at_least_float32(found) - at_least_float32(wanted.detach())).abs().mean()


def weighted_absolute(found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """``sum w |found - wanted| / sum w`` over pixels; no gradient reaches ``wanted``.

    With 1 where a pixel was hidden and 0 elsewhere, the loss of masked reconstruction (SimMIM,
    eq. 1).

    Args:
        found: Pictures, [B, 3, H, W].
        wanted: Likewise.
        weight: Of each pixel, at least 0, [B, 1, H, W].

    Returns:
        Scalar, in float32; 0 if all weights are 0.
    """
    error = (
        (at_least_float32(found) - at_least_float32(wanted.detach()))
        .abs()
        .mean(dim=1, keepdim=True)
    )
    return (error * weight).sum() / weight.sum().clamp(min=1)
