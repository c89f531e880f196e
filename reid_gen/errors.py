"""The exception for errors that users can fix, and a helper for its messages."""

from __future__ import annotations

from collections.abc import Iterable


class UserError(Exception):
    """Invalid input; the message names the value, the rule and what to do.

    The command line prints the message without a traceback and exits with status 1.
    """


class OtherProcessError(UserError):
    """An error of another process of the run, which prints the message."""


def join_some(names: Iterable[object], limit: int = 5) -> str:
    """Join the first few names for a message: ``a, b, c and 7 more``.

    Args:
        names: Names to list, in order.
        limit: Largest number of names in the text.

    Returns:
        The first names separated by commas, and the number of the remaining ones.
    """
    texts = [str(name) for name in names]
    tail = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + tail
