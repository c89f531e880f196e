"""Int8 weight quantisation, which keeps the bundled regressor small."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"
"""Suffix of the tensor that holds the row scales of a quantised tensor."""
_MAX_INT8 = 127


def quantise(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Quantise matrices and kernels to int8 with a scale per row, other tensors to float16.

    Args:
        state: State dict of a network.

    Returns:
        Quantised tensors under the same names, and for each int8 tensor its row scales, [rows]
        float32, under ``NAME.scale``.
    """
    quantised: dict[str, Tensor] = {}
    for name, value in state.items():
        if value.ndim < 2:
            quantised[name] = value.half()
            continue
        rows = value.float().flatten(1)
        scale = rows.abs().amax(1).clamp(min=1e-12) / _MAX_INT8
        quantised[name] = (rows / scale[:, None]).round().char().view(value.shape).contiguous()
        quantised[f"{name}{SCALE}"] = scale
    return quantised


def dequantise(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Restore float32 tensors from :func:`quantise`; tensors without scales are only converted.

    Args:
        tensors: Quantised or floating-point tensors by name.

    Raises:
        ValueError: If the number of scales differs from the number of rows.
    """
    state = {}
    for name, value in tensors.items():
        if name.endswith(SCALE):
            continue
        scale = tensors.get(f"{name}{SCALE}")
        # promote_types keeps unexpected dtypes, such as complex, so that loading rejects them.
        state[name] = value.to(torch.promote_types(value.dtype, torch.float32))
        if scale is not None:
            if scale.shape != value.shape[:1]:
                raise ValueError(f"{name} has {list(value.shape)}, its scale {list(scale.shape)}")
            state[name] *= scale.view(-1, *[1] * (value.ndim - 1))
    return state
