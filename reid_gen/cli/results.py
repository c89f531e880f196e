"""Output of a command: text for users, JSON for programs, and images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.cli.command import STDOUT
from reid_gen.files import as_json, write_json

if TYPE_CHECKING:
    from reid_gen.types import Uint8Array


class Results:
    """Writer of a command's results.

    Args:
        target: File of ``--json``; ``-`` writes JSON to stdout and text to stderr; None writes no
            JSON.
    """

    def __init__(self, target: Path | None) -> None:
        self.on_stdout = target == STDOUT
        self._file = None if self.on_stdout else target

    def echo(self, text: str) -> None:
        """Print text for users."""
        click.echo(text, err=self.on_stdout)

    def write_image(self, pixels: Uint8Array, target: Path, content: str) -> None:
        """Write an image [h, w, 3] and print its content and path.

        Raises:
            UserError: If the file cannot be written.
        """
        from reid_gen.data.images import save_image

        save_image(pixels, target)
        self.echo(f"wrote {content}: {target}")

    def write_json(self, content: object) -> None:
        """Write plain values as JSON if ``--json`` is given.

        Raises:
            UserError: If the file cannot be written.
        """
        if self.on_stdout:
            click.echo(as_json(content))
        elif self._file is not None:
            write_json(self._file, content)
            self.echo(f"wrote results as JSON: {self._file}")
