"""The precision in which losses are computed."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Cast to float32 unless the values have a higher precision."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
