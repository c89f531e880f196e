"""Progress display: bars on a terminal, plain lines in files and pipes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

Advance = Callable[[int], None]
"""Callback that takes the number of units finished since the last call."""
SECONDS_BETWEEN_LINES = 60
"""Seconds between progress lines where the output is not a terminal."""


class Progress(Protocol):
    """Interface of a progress display."""

    def task(self, name: str, total: int, done: int = 0) -> TaskContext:
        """Show the progress of a task for the duration of a context.

        Args:
            name: Name of the task.
            total: Total number of units.
            done: Units finished in an earlier session; excluded from the ETA.
        """
        ...

    def log(self, line: str) -> None:
        """Print one permanent line."""
        ...


class TaskContext(Protocol):
    """Context manager that yields the callback that advances a task."""

    def __enter__(self) -> Advance: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool | None: ...


class Terminal:
    """Progress bars with ETA on a TTY; otherwise one plain line per task and minute.

    Args:
        console: Rich console to print to; stderr by default.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock

    @contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Show a bar, or print lines, for the duration of the context."""
        if not self._console.is_terminal:
            yield self._lines(name, total, done)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=self._console, transient=True) as bars:
            bar = bars.add_task(name, total=total, completed=done)
            yield lambda units: bars.advance(bar, units)

    def _lines(self, name: str, total: int, done: int) -> Advance:
        start = last_line = self._clock()
        completed = done

        def advance(units: int) -> None:
            nonlocal last_line, completed
            completed += units
            now = self._clock()
            if now - last_line >= SECONDS_BETWEEN_LINES and done < completed < total:
                eta = round((now - start) / (completed - done) * (total - completed))
                self.log(f"{name} {completed}/{total} {timedelta(seconds=eta)} left")
                last_line = now

        return advance

    def log(self, line: str) -> None:
        """Print one permanent line."""
        self._console.print(line, highlight=False, soft_wrap=True)


class Silent:
    """Progress display that shows nothing: for tests and for ranks other than 0."""

    @contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Show nothing."""
        yield lambda units: None

    def log(self, line: str) -> None:
        """Print nothing."""
