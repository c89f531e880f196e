"""glibc allocator settings that keep freed memory in the process."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD = -1
_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Make glibc keep freed memory in the process instead of returning it to the kernel.

    Every forward pass allocates and frees the same large activations. Memory that was returned to
    the kernel costs one page fault per 4 KiB in the next pass: up to half of the run time on a
    virtual machine without a GPU. Fragmentation may raise peak memory. No-op outside Linux/glibc.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has no mallopt
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
