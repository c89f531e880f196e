"""Helpers of the numba kernels: threads over index ranges, bits of floats, float64 products."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numba
import numpy as np
import torch
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from reid_gen.types import Float32Array

Result = TypeVar("Result")


def numba_view(features: Float32Array) -> NDArray[np.generic]:
    """View float16 features as uint16 bits, since numba has no float16; others are unchanged."""
    return features.view(np.uint16) if features.dtype == np.float16 else features


def thread_count() -> int:
    """Return the number of worker threads: torch's, at most one per CPU."""
    return min(torch.get_num_threads(), os.cpu_count() or 1)


def map_ranges(
    pool: ThreadPoolExecutor,
    size: int,
    work: Callable[..., Result],
    *arguments: object,
    parts: int | None = None,
) -> list[Result]:
    """Run ``work(start, stop, *arguments)`` on contiguous parts of ``range(size)`` in parallel.

    Args:
        pool: Threads that run the parts.
        size: Length of the range.
        work: Function of a part; it should release the GIL.
        arguments: Further arguments of every call.
        parts: Number of parts, of which empty ones are skipped; one per thread by default.

    Returns:
        The results in the order of the parts.
    """
    ends = np.linspace(0, size, (parts or thread_count()) + 1).astype(int).tolist()
    ranges = [(start, stop) for start, stop in pairwise(ends) if stop > start]
    futures = [pool.submit(work, start, stop, *arguments) for start, stop in ranges]
    return [future.result() for future in futures]


@intrinsic
def _half_bits_to_float(context, bits):  # type: ignore[no-untyped-def]
    """Convert the bits of a float16 to float32."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic
def bits_to_float(context, bits):  # type: ignore[no-untyped-def]
    """Reinterpret an int32 as float32."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def float_to_bits(context, value):  # type: ignore[no-untyped-def]
    """Reinterpret a float32 as int32."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


def to_float(stored: object) -> float:
    """Convert a stored feature value to a float; numba compiles the overload for its type."""
    raise NotImplementedError


@overload(to_float)
def _to_float_overload(stored):  # type: ignore[no-untyped-def]
    if stored == types.uint16:
        return lambda stored: _half_bits_to_float(stored)
    return lambda stored: stored


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def dot(a, b):  # type: ignore[no-untyped-def]
    """Dot product in float64; the order of summation depends on the length alone."""
    total = 0.0
    for d in range(len(a)):
        total += np.float64(to_float(a[d])) * np.float64(to_float(b[d]))
    return total


@numba.njit(cache=True, nogil=True)
def ensure_capacity(values, capacity):  # type: ignore[no-untyped-def]
    """Return ``values``, or a longer copy if it has fewer than ``capacity`` elements."""
    if capacity <= len(values):
        return values
    longer = np.empty(2 * capacity, values.dtype)
    longer[: len(values)] = values
    return longer
