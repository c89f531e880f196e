"""Precision that a device has fast instructions for."""

from __future__ import annotations

import torch

from reid_gen.choices import Precision


def has_native_bf16(device: torch.device) -> bool:
    """Return whether a device has native bfloat16 instructions.

    Without them torch emulates bfloat16 products, which is 10 to 120 times slower than float32 on
    an AVX2 CPU.
    """
    if device.type == "cpu":
        return str(torch.backends.cpu.get_cpu_capability()).startswith(("AVX512", "SVE"))
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return True


def resolve_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return bfloat16 if it is requested and native on the device, else float32."""
    return torch.bfloat16 if precision == "bf16" and has_native_bf16(device) else torch.float32
