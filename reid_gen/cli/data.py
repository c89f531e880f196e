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
    IMAGE_FILE,
    INPUT,
    JSON,
    MEMBER_RANGE,
    RESUMABLE_FOLDER,
    SEED,
    SIDE_RANGE,
    THREAD_RANGE,
)
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.data.check import CheckReport

DEFAULT_CAMERAS = 6
"""Cameras with --identities."""
HEIGHT = click.option(
    "--height", type=SIDE_RANGE, default=128, show_default=True, help="Image height in pixels."
)
WIDTH = click.option(
    "--width", type=SIDE_RANGE, default=64, show_default=True, help="Image width in pixels."
)
WORKERS = click.option(
    "--workers", type=THREAD_RANGE, help="Worker processes (default: number of CPU cores)."
)


@click.group(cls=Group)
def data() -> None:
    """Prepare, check, display and render data sets."""


@data.command()
@click.argument("name")
@click.option("--archive", type=INPUT, required=True, help="Official archive file.")
@click.option("--root", type=RESUMABLE_FOLDER, required=True, help="Folder to unpack into.")
def prepare(name: str, archive: Path, root: Path) -> None:
    """Verify and unpack the official archive of data set NAME.

    Example: reid-gen data prepare market1501 --archive Market-1501-v15.09.15.zip --root data
    """
    from reid_gen.data.prepare import prepare as unpack

    click.echo(f"unpacked {unpack(name, archive, root)}")


@data.command()
@click.argument("name")
@click.option("--root", type=INPUT, required=True, help="Folder that contains the data set.")
@JSON
@FORCE
def check(name: str, root: Path, output: Path | None) -> None:
    """Count and decode the images of data set NAME.

    Compares the numbers of images, ids and cameras with the official counts.

    Example: reid-gen data check market1501 --root data
    """
    from reid_gen.data.check import check_dataset

    results = Results(output)
    report = check_dataset(name, root)
    _print(report, results.on_stdout)
    results.write_json(report.as_dict())
    differing = [split.name for split in report.splits if not split.agrees]
    if differing:
        click.echo(
            f"warning: {', '.join(differing)}: counts differ from the official counts", err=True
        )
    for failure in report.unreadable:
        click.echo(f"unreadable: {failure.path}: {failure.reason}", err=True)
    if report.unreadable:
        click.echo(f"error: {len(report.unreadable)} image(s) cannot be decoded", err=True)
        sys.exit(1)


@data.command()
@click.argument("name")
@click.option("--root", type=INPUT, required=True, help="Folder that contains the data set.")
@click.option("--out", type=IMAGE_FILE, required=True, help="Image to write, .png or .jpg.")
@FORCE
def sheet(name: str, root: Path, out: Path) -> None:
    """Write a contact sheet of gallery people of data set NAME.

    It has a row per person, with images of different cameras.

    Example: reid-gen data sheet market1501 --root data --out people.png
    """
    from reid_gen.data.datasets import labelled_splits, load_dataset
    from reid_gen.report.sheets import people_sheet

    _, gallery = labelled_splits(load_dataset(name, root))
    Results(None).write_image(people_sheet(gallery), out, f"people of the gallery of {name}")


@data.command()
@click.argument("name")
@click.option(
    "--preset", help="Size of the data set: tiny, small or market (the size of Market-1501)."
)
@click.option(
    "--identities",
    type=click.IntRange(4, 9_999),
    help="Number of people, half of them for testing.",
)
@click.option(
    "--cameras",
    type=click.IntRange(2, 99),
    show_default=str(DEFAULT_CAMERAS),
    help="Number of cameras, with --identities.",
)
@SEED
@click.option("--out", type=FOLDER, required=True, help="Folder to write.")
@HEIGHT
@WIDTH
@WORKERS
def render(
    *,
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
    """Render the synthetic data set NAME.

    NAME is pedestrians, in the layout of Market-1501.

    Example: reid-gen data render pedestrians --preset small --out people
    """
    import os

    from reid_gen.errors import UserError
    from reid_gen.extras import need
    from reid_gen.pedestrians.crop_list import PRESETS, size_like_market
    from reid_gen.runtime.progress import Terminal

    _check_upright(height, width)

    if name != "pedestrians":
        raise UserError(f"{name!r} cannot be rendered; known: pedestrians")
    if (preset is None) == (identities is None):
        raise click.UsageError(f"give either --preset ({', '.join(PRESETS)}) or --identities")
    if preset is not None and preset not in PRESETS:
        raise click.UsageError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    if preset is not None and cameras is not None:
        raise click.UsageError(
            f"--cameras {cameras} has no effect with --preset, which sets it; leave it out, or "
            "give --identities"
        )
    size = (
        PRESETS[preset]
        if preset is not None
        else size_like_market(identities or 0, cameras or DEFAULT_CAMERAS)
    )

    need("rendering people", "smplx")
    from reid_gen.pedestrians.dataset import render_dataset

    with Terminal().task("render", size.images) as advance:
        render_dataset(
            out, size, seed, height=height, width=width,
            workers=workers or os.cpu_count() or 1, progress=advance,
        )  # fmt: skip
    click.echo(f"rendered {size.images:,} crops into {out}")


@data.command()
@click.option(
    "--share",
    type=click.Choice(get_args(GroupShare)),
    required=True,
    help="What the images of a group share: one pose of different people, or one person in "
    "different poses.",
)
@click.option(
    "--count", type=COUNT_RANGE, default=1000, show_default=True, help="Number of groups."
)
@click.option(
    "--members", type=MEMBER_RANGE, default=4, show_default=True, help="Images per group."
)
@SEED
@click.option("--out", type=RESUMABLE_FOLDER, required=True, help="Folder to write.")
@HEIGHT
@WIDTH
@WORKERS
@click.option("--sheet", type=IMAGE_FILE, help="Contact sheet of some groups, .png or .jpg.")
@FILES_FORCE
def groups(
    *,
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
    """Render groups of images that share a pose or a person.

    They show synthetic pedestrians and serve as positives in training. An interrupted command can
    be run again: it resumes and writes the same files.

    Example: reid-gen data groups --share pose --out groups --sheet groups.png
    """
    import os

    _check_upright(height, width)

    from reid_gen.data.positive_groups import check_no_other_files, load_groups
    from reid_gen.report.groups import groups_sheet
    from reid_gen.runtime.progress import Terminal

    check_no_other_files(out)

    from reid_gen.extras import need

    need("rendering people", "smplx")
    from reid_gen.pedestrians.groups import GroupPlan, render_groups

    plan = GroupPlan(share, count, members, seed, height, width)
    with Terminal().task("render", count) as advance:
        render_groups(out, plan, workers=workers or os.cpu_count() or 1, progress=advance)
    click.echo(f"rendered {count:,} groups of {members}: {out}")
    if sheet is not None:
        content = f"some of {count:,} groups"
        Results(None).write_image(groups_sheet(load_groups(out)), sheet, content)


def _check_upright(height: int, width: int) -> None:
    """Check that images are not wider than high, which the backgrounds require.

    Raises:
        UsageError: If they are wider than high.
    """
    if width > height:
        raise click.UsageError(f"--width {width} must be at most --height {height}")


def _print(report: CheckReport, on_stderr: bool) -> None:
    from reid_gen.text_table import aligned

    rows = []
    for split in report.splits:
        actual, official = split.actual, split.official
        expected = (
            "-"
            if official is None
            else f"{official.images:,} / {official.pids:,} / {official.cameras}"
        )
        counts = (f"{actual.images:,}", f"{actual.pids:,}", str(actual.cameras))
        rows.append((split.name, *counts, expected))
    click.echo(aligned(("split", "images", "ids", "cameras", "official"), rows), err=on_stderr)
    for note in report.notes:
        click.echo(f"note: {note}", err=on_stderr)
