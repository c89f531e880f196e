"""``reid-gen data``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from reid_gen.choices import GroupShare
from reid_gen.cli.command import Group
from reid_gen.cli.options import (
    COUNT_RANGE,
    FILES_FORCE,
    FOLDER,
    FORCE,
    INPUT,
    JSON,
    MEMBER_RANGE,
    PICTURE,
    RESUMED,
    SEED_RANGE,
    SIDE_RANGE,
    THREAD_RANGE,
)
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.data.check import CheckReport

CAMERAS = 6
"""Of --identities."""


@click.group(cls=Group)
def data() -> None:
    """Unpack, check, render and draw data sets."""


@data.command()
@click.argument("name")
@click.option("--archive", type=INPUT, required=True, help="Official archive.")
@click.option("--root", type=RESUMED, required=True, help="Folder to unpack in.")
def prepare(name: str, archive: Path, root: Path) -> None:
    """Verify and unpack the archive of data set NAME.

    Example: reid-gen data prepare market1501 --archive Market-1501-v15.09.15.zip --root data
    """
    from reid_gen.data.prepare import prepare as unpack

    click.echo(f"unpacked {unpack(name, archive, root)}")


@data.command()
@click.argument("name")
@click.option("--root", type=INPUT, required=True, help="Where it lies.")
@JSON
@FORCE
def check(name: str, root: Path, output: Path | None) -> None:
    """Count images, ids and cameras of data set NAME, and decode every file.

    Example: reid-gen data check market1501 --root data
    """
    from reid_gen.data.check import check_dataset

    results = Results(output)
    report = check_dataset(name, root)
    _print(report, results.on_stdout)
    results.write(report.as_dict())
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


@data.command()
@click.argument("name")
@click.option("--root", type=INPUT, required=True, help="Where it lies.")
@click.option("--out", type=PICTURE, required=True, help="A .png or .jpg to make.")
@FORCE
def sheet(name: str, root: Path, out: Path) -> None:
    """Draw people of data set NAME's gallery, a row each, across cameras.

    Example: reid-gen data sheet market1501 --root data --out people.png
    """
    from reid_gen.data.datasets import labelled_splits, load_dataset
    from reid_gen.report.sheets import people_sheet

    _, gallery = labelled_splits(load_dataset(name, root))
    Results(None).draw(people_sheet(gallery), out, f"people of the gallery of {name}")


@data.command()
@click.argument("name")
@click.option("--preset", help="tiny, small or market (Market-1501's counts).")
@click.option("--identities", type=click.IntRange(4, 9_999), help="People, half for testing.")
@click.option(
    "--cameras", type=click.IntRange(2, 99), show_default=str(CAMERAS), help="With --identities."
)
@click.option("--seed", type=SEED_RANGE, default=1, show_default=True)
@click.option("--out", type=FOLDER, required=True, help="Folder to make.")
@click.option("--height", type=SIDE_RANGE, default=128, show_default=True, help="Pixels of a crop.")
@click.option("--width", type=SIDE_RANGE, default=64, show_default=True, help="Pixels of a crop.")
@click.option("--workers", type=THREAD_RANGE, help="Processes; all cores by default.")
def render(
    name: str,
    preset: str | None,
    identities: int | None,
    cameras: int | None,
    seed: int,
    out: Path,
    height: int,
    width: int,
    workers: int | None,
) -> None:
    """Render the data set NAME (pedestrians) in the layout of Market-1501.

    Example: reid-gen data render pedestrians --preset small --out people
    """
    import os

    from reid_gen.errors import UserError
    from reid_gen.pedestrians.crop_list import PRESETS, size_of
    from reid_gen.runtime.progress import Terminal

    _refuse_wide(height, width)

    if name != "pedestrians":
        raise UserError(f"{name!r} cannot be rendered; known: pedestrians")
    if (preset is None) == (identities is None):
        raise click.UsageError(f"give either --preset ({', '.join(PRESETS)}) or --identities")
    if preset is not None and preset not in PRESETS:
        raise click.UsageError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    if preset is not None and cameras is not None:
        raise click.UsageError(
            f"--cameras {cameras} has no effect with --preset, which has its own; leave it out, or "
            "give --identities"
        )
    size = PRESETS[preset] if preset is not None else size_of(identities or 0, cameras or CAMERAS)

    from reid_gen.pedestrians.dataset import render_album

    with Terminal().task("render", size.images) as advance:
        render_album(
            out, size, seed, height=height, width=width,
            workers=workers or os.cpu_count() or 1, progress=advance,
        )  # fmt: skip
    click.echo(f"rendered {size.images:,} crops into {out}")


@data.command()
@click.option(
    "--share",
    type=click.Choice(get_args(GroupShare)),
    required=True,
    help="Of a group: one pose of different people, or one person in different poses.",
)
@click.option("--count", type=COUNT_RANGE, default=1000, show_default=True, help="Groups.")
@click.option("--members", type=MEMBER_RANGE, default=4, show_default=True, help="Of each.")
@click.option("--seed", type=SEED_RANGE, default=1, show_default=True)
@click.option("--out", type=RESUMED, required=True, help="Folder to make.")
@click.option(
    "--height", type=SIDE_RANGE, default=128, show_default=True, help="Pixels of a picture."
)
@click.option(
    "--width", type=SIDE_RANGE, default=64, show_default=True, help="Pixels of a picture."
)
@click.option("--workers", type=THREAD_RANGE, help="Processes; all cores by default.")
@click.option("--sheet", type=PICTURE, help="Draw some into a .png or .jpg.")
@FILES_FORCE
def groups(
    share: GroupShare,
    count: int,
    members: int,
    seed: int,
    out: Path,
    height: int,
    width: int,
    workers: int | None,
    sheet: Path | None,
) -> None:
    """Render groups of pedestrians that share a pose, or looks, to learn from.

    A killed command goes on where it was and gives the same files.

    Example: reid-gen data groups --share pose --out groups --sheet groups.png
    """
    import os

    _refuse_wide(height, width)

    from reid_gen.data.positive_groups import check_no_other_files, load_groups
    from reid_gen.report.groups import groups_sheet
    from reid_gen.runtime.progress import Terminal

    check_no_other_files(out)

    from reid_gen.pedestrians.groups import GroupPlan, render_groups

    plan = GroupPlan(share, count, members, seed, height, width)
    with Terminal().task("render", count) as advance:
        render_groups(out, plan, workers=workers or os.cpu_count() or 1, progress=advance)
    click.echo(f"rendered {count:,} groups of {members}: {out}")
    if sheet is not None:
        Results(None).draw(groups_sheet(load_groups(out)), sheet, f"some of {count:,} groups")


def _refuse_wide(height: int, width: int) -> None:
    """See that crops are upright, as backdrops are cut for them.

    Raises:
        UsageError: If they are not.
    """
    if width > height:
        raise click.UsageError(f"--width {width} must be at most --height {height}")


def _print(report: CheckReport, on_stderr: bool) -> None:
    from reid_gen.text_table import aligned

    rows = []
    for split in report.splits:
        found, official = split.actual, split.official
        expected = (
            "-"
            if official is None
            else f"{official.images:,} / {official.pids:,} / {official.cameras}"
        )
        counts = (f"{found.images:,}", f"{found.pids:,}", str(found.cameras))
        rows.append((split.name, *counts, expected))
    click.echo(aligned(("split", "images", "ids", "cameras", "official"), rows), err=on_stderr)
    for note in report.notes:
        click.echo(f"note: {note}", err=on_stderr)
