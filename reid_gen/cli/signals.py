"""Signals that stop a run: its last line says how to go on, its exit code which signal it was."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import click

Handler = Callable[[int, FrameType | None], Any] | int | None
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C; kill, or a job scheduler at the time limit; a terminal that is closed."""


class Stopped(KeyboardInterrupt):
    """A signal has asked the process to stop.

    Args:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def stoppable(last_line: Callable[[], str]) -> Iterator[None]:
    """Exit with code 128 + number on a signal that stops, after one line on stderr.

    Signals that the process was started to ignore, as ``nohup`` does, stay ignored.

    Args:
        last_line: Makes the line after everything in the block has been cleaned up.
    """

    def stop(number: int, _: FrameType | None) -> None:
        raise Stopped(number)

    handlers = {n: signal.getsignal(n) for n in STOPS if signal.getsignal(n) != signal.SIG_IGN}
    _install(dict.fromkeys(handlers, stop))
    try:
        yield
    except Stopped as error:
        # A second Ctrl-C must not interrupt the end of the process, which may take seconds.
        handlers = dict.fromkeys(handlers, signal.SIG_IGN)
        _install(handlers)
        with suppress(OSError):  # a terminal that is closed
            click.echo(f"\n{last_line()}", err=True)
        sys.exit(128 + error.number)
    finally:
        _install(handlers)


def _install(handlers: Mapping[signal.Signals, Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
