"""Out of memory on any device, as one error that names what to lower; does not import torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from reid_gen.errors import UserError

SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "alloc_failed")
"""What allocators write, in lower case: CUDA and other devices, torch on CPU, C++, cuBLAS."""
ADVICE_OF_TORCH = " If reserved but unallocated"


def out_of_memory(error: BaseException) -> str | None:
    """Return the first line of an error that is due to memory; None for any other error."""
    text = (str(error).splitlines() or [""])[0].split(ADVICE_OF_TORCH)[0].rstrip(".")
    if isinstance(error, MemoryError):
        return text or "the system has none left"
    is_sign = isinstance(error, RuntimeError) and any(sign in text.lower() for sign in SIGNS)
    return text if is_sign else None


@contextmanager
def memory_errors(work: str, advice: str) -> Iterator[None]:
    """Raise an error that names the work and what to lower if memory runs out; also a decorator.

    Args:
        work: What the block does, such as ``epoch 3``.
        advice: What to lower, with the names of settings.

    Raises:
        UserError: If memory runs out, on the device or on the host.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        reason = out_of_memory(error)
        if reason is None:
            raise
        raise UserError(f"out of memory in {work}: {reason}; {advice}") from error
