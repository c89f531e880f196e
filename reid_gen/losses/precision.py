"""The precision in which losses are computed."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """The same values in float32, or in their own type if that is finer."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
