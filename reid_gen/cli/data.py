"""``reid-gen data``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from reid_gen.data.check import CheckReport


@click.group()
def data() -> None:
    """Unpack and check data sets."""


@data.command()
@click.argument("name")
@click.option("--archive", type=click.Path(path_type=Path), required=True, help="Official archive.")
@click.option("--root", type=click.Path(path_type=Path), required=True, help="Where to unpack.")
def prepare(name: str, archive: Path, root: Path) -> None:
    """Verify and unpack the archive of data set NAME."""
    from reid_gen.data.prepare import prepare as unpack

    click.echo(f"unpacked {unpack(name, archive, root)}")


@data.command()
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path), required=True, help="Where it lies.")
def check(name: str, root: Path) -> None:
    """Count images, ids and cameras of data set NAME, and decode every file."""
    from reid_gen.data.check import check_dataset

    report = check_dataset(name, root)
    _print(report)
    differing = [split.name for split in report.splits if not split.agrees]
    if differing:
        click.echo(
            f"warning: {', '.join(differing)}: counts differ from the official ones", err=True
        )
    for failure in report.unreadable:
        click.echo(f"unreadable: {failure.path}: {failure.reason}", err=True)
    if report.unreadable:
        click.echo(f"error: {len(report.unreadable)} image(s) do not decode", err=True)
        sys.exit(1)


def _print(report: CheckReport) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("split", "images", "ids", "cameras", "official")
    for split in report.splits:
        found, official = split.found, split.official
        expected = (
            "-"
            if official is None
            else f"{official.images:,} / {official.pids:,} / {official.cameras}"
        )
        counts = (f"{found.images:,}", f"{found.pids:,}", str(found.cameras))
        table.add_row(split.name, *counts, expected)
    Console().print(table)
    for note in report.notes:
        click.echo(f"note: {note}")
