"""Weights at a byte per value, so that those of the regressor fit into the package."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"
"""What follows the name of a packed tensor where its rows' scales are kept."""
_MOST = 127


def pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round every matrix and kernel to 255 steps per row, all else to half precision.

    Args:
        state: Floating-point tensors and counts by name.

    Returns:
        The same names; beside each of int8 the scales of its rows, [rows] float32.
    """
    packed: dict[str, Tensor] = {}
    for name, value in state.items():
        if value.ndim < 2:
            packed[name] = value.half()
            continue
        rows = value.float().flatten(1)
        scale = rows.abs().amax(1).clamp(min=1e-12) / _MOST
        packed[name] = (rows / scale[:, None]).round().char().view(value.shape).contiguous()
        packed[f"{name}{SCALE}"] = scale
    return packed


def unpack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The float32 tensors that :func:`pack` rounded; tensors without a scale are converted alone.

    Args:
        tensors: By name.

    Raises:
        ValueError: If the scales are not those of the rows.
    """
    found = {}
    for name, value in tensors.items():
        if name.endswith(SCALE):
            continue
        scale = tensors.get(f"{name}{SCALE}")
        # A type that does not belong here stays, for the loader to refuse.
        found[name] = value.to(torch.promote_types(value.dtype, torch.float32))
        if scale is not None:
            if scale.shape != value.shape[:1]:
                raise ValueError(f"{name} has {list(value.shape)}, its scale {list(scale.shape)}")
            found[name] *= scale.view(-1, *[1] * (value.ndim - 1))
    return found
