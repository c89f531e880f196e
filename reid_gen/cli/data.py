"""``reid-gen data``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from reid_gen.cli.options import FORCE, JSON
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.data.check import CheckReport


@click.group()
def data() -> None:
    """Unpack, check, render and draw data sets."""


@data.command()
@click.argument("name")
@click.option("--archive", type=click.Path(path_type=Path), required=True, help="Official archive.")
@click.option("--root", type=click.Path(path_type=Path), required=True, help="Where to unpack.")
def prepare(name: str, archive: Path, root: Path) -> None:
    """Verify and unpack the archive of data set NAME.

    Example: reid-gen data prepare market1501 --archive Market-1501-v15.09.15.zip --root data
    """
    from reid_gen.data.prepare import prepare as unpack

    click.echo(f"unpacked {unpack(name, archive, root)}")


@data.command()
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path), required=True, help="Where it lies.")
@JSON
@FORCE
def check(name: str, root: Path, output: Path | None, force: bool) -> None:
    """Count images, ids and cameras of data set NAME, and decode every file.

    Example: reid-gen data check market1501 --root data
    """
    from reid_gen.data.check import check_dataset

    results = Results(output, force)
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
@click.option("--root", type=click.Path(path_type=Path), required=True, help="Where it lies.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="A .png or .jpg to make."
)
@FORCE
def sheet(name: str, root: Path, out: Path, force: bool) -> None:
    """Draw people of data set NAME's gallery, a row each, across cameras.

    Example: reid-gen data sheet market1501 --root data --out people.png
    """
    from reid_gen.data.datasets import load_dataset
    from reid_gen.data.images import save_picture
    from reid_gen.engine.evaluate import labelled_splits
    from reid_gen.files import refuse_existing
    from reid_gen.report.sheets import people_sheet

    refuse_existing(out, force)
    _, gallery = labelled_splits(load_dataset(name, root))
    save_picture(people_sheet(gallery), out)
    click.echo(f"drew {out}")


@data.command()
@click.argument("name")
@click.option("--preset", help="tiny, small or market (Market-1501's counts).")
@click.option("--identities", type=int, help="People, half of them for testing.")
@click.option("--cameras", type=int, default=6, show_default=True, help="With --identities.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option("--height", type=int, default=128, show_default=True, help="Pixels of a crop.")
@click.option("--width", type=int, default=64, show_default=True, help="Pixels of a crop.")
@click.option("--workers", type=int, help="Processes; all cores by default.")
def render(
    name: str,
    preset: str | None,
    identities: int | None,
    cameras: int,
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

    from reid_gen.engine.progress import Terminal
    from reid_gen.errors import UserError
    from reid_gen.pedestrians.album import render_album
    from reid_gen.pedestrians.plan import PRESETS, size_of

    if name != "pedestrians":
        raise UserError(f"{name!r} cannot be rendered; known: pedestrians")
    if (preset is None) == (identities is None):
        raise UserError(f"give either --preset ({', '.join(PRESETS)}) or --identities")
    if preset is not None and preset not in PRESETS:
        raise UserError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    size = PRESETS[preset] if preset is not None else size_of(identities or 0, cameras)
    with Terminal().task("render", size.images) as advance:
        render_album(
            out, size, seed, height=height, width=width,
            workers=workers or os.cpu_count() or 1, progress=advance,
        )  # fmt: skip
    click.echo(f"rendered {size.images:,} crops into {out}")


@data.command()
@click.option(
    "--share",
    type=click.Choice(["pose", "looks"]),
    required=True,
    help="Of a group: one pose of different people, or one person in different poses.",
)
@click.option("--count", type=click.IntRange(1), default=1000, show_default=True, help="Groups.")
@click.option("--members", type=click.IntRange(1), default=4, show_default=True, help="Of each.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option("--height", type=int, default=128, show_default=True, help="Pixels of a picture.")
@click.option("--width", type=int, default=64, show_default=True, help="Pixels of a picture.")
@click.option("--workers", type=int, help="Processes; all cores by default.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Draw some into a .png or .jpg.")
def groups(
    share: Literal["pose", "looks"],
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

    from reid_gen.data.groups import load_groups
    from reid_gen.data.images import save_picture
    from reid_gen.engine.progress import Terminal
    from reid_gen.pedestrians.groups import GroupPlan, render_groups
    from reid_gen.report.groups import groups_sheet

    plan = GroupPlan(share, count, members, seed, height, width)
    with Terminal().task("render", count) as advance:
        render_groups(out, plan, workers=workers or os.cpu_count() or 1, progress=advance)
    click.echo(f"rendered {count:,} groups of {members}: {out}")
    if sheet is not None:
        save_picture(groups_sheet(load_groups(out)), sheet)


def _print(report: CheckReport, on_stderr: bool) -> None:
    from reid_gen.columns import aligned

    rows = []
    for split in report.splits:
        found, official = split.found, split.official
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
