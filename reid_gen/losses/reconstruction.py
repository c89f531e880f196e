"""L1 reconstruction losses of images and features."""

from __future__ import annotations

from torch import Tensor

from reid_gen.losses.precision import at_least_float32


def mean_absolute(prediction: Tensor, target: Tensor) -> Tensor:
    """``mean |prediction - target|`` over all elements; the target is detached.

    Used for GCL's feature loss, and its image and cycle losses without pixel weights.

    Args:
        prediction: [B, ...].
        target: [B, ...].

    Returns:
        Scalar in float32.
    """
    return (at_least_float32(prediction) - at_least_float32(target.detach())).abs().mean()


def weighted_absolute(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """``sum w |prediction - target| / sum w`` over pixels; the target is detached.

    With weight 1 on masked pixels and 0 elsewhere it is SimMIM's loss (eq. 1).

    Args:
        prediction: Predicted images, [B, 3, H, W].
        target: Target images, [B, 3, H, W].
        weight: Weight of each pixel, at least 0, [B, 1, H, W].

    Returns:
        Scalar in float32; 0 if all weights are 0.
    """
    error = (
        (at_least_float32(prediction) - at_least_float32(target.detach()))
        .abs()
        .mean(dim=1, keepdim=True)
    )  # [B, 1, H, W]
    return (error * weight).sum() / weight.sum().clamp(min=1)
