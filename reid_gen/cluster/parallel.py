"""Rows of features as compiled code reads them, and work on shares of them by threads."""

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


def readable(features: Float32Array) -> NDArray[np.generic]:
    """Features as numba reads them: it knows no float16, and takes the bits."""
    return features.view(np.uint16) if features.dtype == np.float16 else features


def threads() -> int:
    """How many work at once: as many as torch's."""
    return min(torch.get_num_threads(), os.cpu_count() or 1)


def spread(
    pool: ThreadPoolExecutor,
    size: int,
    work: Callable[..., Result],
    *arguments: object,
    parts: int | None = None,
) -> list[Result]:
    """Results of ``work(start, stop, *arguments)`` on shares of ``range(size)`` by all threads."""
    ends = np.linspace(0, size, (parts or threads()) + 1).astype(int).tolist()
    shares = [(start, stop) for start, stop in pairwise(ends) if stop > start]
    begun = [pool.submit(work, start, stop, *arguments) for start, stop in shares]
    return [share.result() for share in begun]


@intrinsic
def _from_half(context, bits):  # type: ignore[no-untyped-def]
    """The float32 of a float16's bits."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


def _value(stored: object) -> float:
    """A stored value as a number; numba takes one of the two below."""
    raise NotImplementedError


@overload(_value)
def _value_of(stored):  # type: ignore[no-untyped-def]
    if stored == types.uint16:
        return lambda stored: _from_half(stored)
    return lambda stored: stored


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def dot(one, other):  # type: ignore[no-untyped-def]
    """In float64, in an order that depends on the length alone."""
    total = 0.0
    for d in range(len(one)):
        total += np.float64(_value(one[d])) * np.float64(_value(other[d]))
    return total


@numba.njit(cache=True, nogil=True)
def room_for(values, wanted):  # type: ignore[no-untyped-def]
    """The array itself, or a longer one that starts with it."""
    if wanted <= len(values):
        return values
    longer = np.empty(2 * wanted, values.dtype)
    longer[: len(values)] = values
    return longer
