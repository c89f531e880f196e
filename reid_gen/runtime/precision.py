"""Precision that a device has fast instructions for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

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


def has_native_int8() -> bool:
    """Return whether the CPU multiplies 8-bit integers fastest, and torch offers the product.

    These are the instructions AVX-512 VNNI, and with them AMX. Without them torch emulates the
    product, which is then 30 times slower than in float32 on an AVX2 CPU.
    """
    is_supported = getattr(torch.cpu, "_is_vnni_supported", None)
    return hasattr(torch, "_int_mm") and is_supported is not None and bool(is_supported())


@contextmanager
def full_float32() -> Iterator[None]:
    """Multiply float32 matrices in float32, even if the program allowed torch less precision."""
    with ExitStack() as restore:
        if hasattr(torch.backends.mkldnn, "matmul"):
            for matmul in (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul):
                restore.callback(setattr, matmul, "fp32_precision", matmul.fp32_precision)
                matmul.fp32_precision = "ieee"
        else:  # torch before 2.9
            allowed = torch.get_float32_matmul_precision()
            restore.callback(torch.set_float32_matmul_precision, allowed)
            torch.set_float32_matmul_precision("highest")
        yield
