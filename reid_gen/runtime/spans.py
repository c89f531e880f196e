"""Named spans of the training loop, which torch's profiler records if it runs."""

from __future__ import annotations

from torch.profiler import record_function

PREFIX = "reid-gen: "
"""Beginning of the names of spans in a trace."""


def span(name: str) -> record_function:
    """Return a context manager, also a decorator, whose time a profile reports under ``name``."""
    return record_function(PREFIX + name)
