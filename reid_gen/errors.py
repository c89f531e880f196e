"""The one kind of error that a user is meant to read."""

from __future__ import annotations

from collections.abc import Iterable


class UserError(Exception):
    """Bad input: the message names the value, the rule and the way out.

    The command line prints the message without a traceback and exits with 1.
    """


def join_some(names: Iterable[object], most: int = 5) -> str:
    """Join the first few names for a message: ``a, b, c and 7 more``.

    Args:
        names: What to list, in order.
        most: How many to spell out.

    Returns:
        The names separated by commas, with a count of those left out.
    """
    spelt = [str(name) for name in names]
    tail = f" and {len(spelt) - most} more" if len(spelt) > most else ""
    return ", ".join(spelt[:most]) + tail
