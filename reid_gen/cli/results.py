"""What a command found, for people and for programs."""

from __future__ import annotations

from pathlib import Path

import click

from reid_gen.files import as_json, refuse_existing, write_json

STDOUT = Path("-")


class Results:
    """Text for people, and JSON for programs if it is asked for.

    Args:
        target: File of ``--json``; ``-`` is stdout, and text then goes to stderr; None is no JSON.
        force: Whether a file that exists may be overwritten.

    Raises:
        UserError: If the file exists and may not be overwritten.
    """

    def __init__(self, target: Path | None, force: bool) -> None:
        self.on_stdout = target == STDOUT
        self._file = None if self.on_stdout else target
        refuse_existing(self._file, force)

    def say(self, text: str) -> None:
        """Print text for people."""
        click.echo(text, err=self.on_stdout)

    def write(self, content: object) -> None:
        """Write plain values as JSON, where it is asked for.

        Raises:
            UserError: If the file cannot be written.
        """
        if self.on_stdout:
            click.echo(as_json(content))
        elif self._file is not None:
            write_json(self._file, content)
