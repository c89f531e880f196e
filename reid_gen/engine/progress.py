"""Telling the user how far a run is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

Advance = Callable[[int], None]


class Progress(Protocol):
    """What the engine needs of a display."""

    def task(self, name: str, total: int) -> AbstractTask:
        """Show a bar of ``total`` units while the context lasts; yields how to advance it."""
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
    """Bars with time remaining on a terminal; plain lines elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Advance]:
        """Show a bar while the context lasts."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        quiet = not self._console.is_terminal
        with Bars(*columns, console=self._console, transient=True, disable=quiet) as bars:
            bar = bars.add_task(name, total=total)
            yield lambda done: bars.advance(bar, done)

    def say(self, line: str) -> None:
        """Print one line."""
        self._console.print(line, highlight=False, soft_wrap=True)


class Silent:
    """No display: for tests, and for all but the main process."""

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Advance]:
        """Show nothing."""
        yield lambda done: None

    def say(self, line: str) -> None:
        """Print nothing."""
