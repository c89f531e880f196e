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
