"""Telling the user how far a run is."""

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
LINE_EVERY = 60
"""Seconds between lines where there is no terminal."""


class Progress(Protocol):
    """What the engine needs of a display."""

    def task(self, name: str, total: int, done: int = 0) -> AbstractTask:
        """Show how far a task is while the context lasts; yields how to advance it.

        Args:
            name: Of the task.
            total: Its units.
            done: Those that were done before, which say nothing of how fast it goes.
        """
        ...

    def say(self, line: str) -> None:
        """Print one line that stays."""
        ...


class AbstractTask(Protocol):
    """Context that yields a function taking the units done since the last call."""

    def __enter__(self) -> Advance: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool | None: ...


class Terminal:
    """Bars with time remaining on a terminal; elsewhere plain lines, one a minute for a task.

    Args:
        console: Where to show them; stderr by default.
        clock: Seconds that pass.
    """

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock

    @contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Show a bar, or lines, while the context lasts."""
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
            yield lambda more: bars.advance(bar, more)

    def _lines(self, name: str, total: int, done: int) -> Advance:
        start = said = self._clock()
        now = done

        def advance(more: int) -> None:
            nonlocal said, now
            now += more
            clock = self._clock()
            if clock - said >= LINE_EVERY and done < now < total:
                left = round((clock - start) / (now - done) * (total - now))
                self.say(f"{name} {now}/{total} {timedelta(seconds=left)} left")
                said = clock

        return advance

    def say(self, line: str) -> None:
        """Print one line."""
        self._console.print(line, highlight=False, soft_wrap=True)


class Silent:
    """No display: for tests, and for all but the main process."""

    @contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Show nothing."""
        yield lambda more: None

    def say(self, line: str) -> None:
        """Print nothing."""
