"""What a command found, for people and for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.cli.command import STDOUT
from reid_gen.files import as_json, write_json

if TYPE_CHECKING:
    from reid_gen.types import Uint8Array


class Results:
    """Text for people, and JSON for programs if it is asked for.

    Args:
        target: File of ``--json``; ``-`` is stdout, and text then goes to stderr; None is no JSON.
    """

    def __init__(self, target: Path | None) -> None:
        self.on_stdout = target == STDOUT
        self._file = None if self.on_stdout else target

    def say(self, text: str) -> None:
        """Print text for people."""
        click.echo(text, err=self.on_stdout)

    def draw(self, pixels: Uint8Array, target: Path, what: str) -> None:
        """Write a picture [h, w, 3], and say what it shows and where it is.

        Raises:
            UserError: If the file cannot be written.
        """
        from reid_gen.data.images import save_image

        save_image(pixels, target)
        self.say(f"drew {what}: {target}")

    def write(self, content: object) -> None:
        """Write plain values as JSON, where it is asked for.

        Raises:
            UserError: If the file cannot be written.
        """
        if self.on_stdout:
            click.echo(as_json(content))
        elif self._file is not None:
            write_json(self._file, content)
            self.say(f"wrote results as JSON: {self._file}")
