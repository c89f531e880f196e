"""``reid-gen generate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.cli.options import JSON, JSON_FORCE, PATH
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.data.groups import Groups
    from reid_gen.engine.makers import Maker
    from reid_gen.engine.scoring import Scorer
    from reid_gen.types import Image


@click.command()
@click.argument("source", type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder for the groups.")
@click.option(
    "--maker",
    type=click.Choice(["turned", "anchored", "mosaic"]),
    default="turned",
    show_default=True,
    help="Bodies turned; the same with the image's content alone (CLSP, diffusion); pieces (CLIC).",
)
@click.option("--members", type=click.IntRange(1), default=4, show_default=True, help="Per image.")
@click.option(
    "--share",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Of a picture's own content with --maker anchored; the rest is the image's.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--check", is_flag=True, help="Only compare every file with its checksum.")
@click.option("--sheet", type=PATH, help="Draw some groups into a .png or .jpg.")
@JSON
@JSON_FORCE
def generate(
    source: Path,
    out: Path,
    maker: str,
    members: int,
    share: float,
    seed: int,
    check: bool,
    sheet: Path | None,
    output: Path | None,
    force: bool,
) -> None:
    """Make positives of training images, once and for all.

    SOURCE is a run, whose own generator or --maker makes them of its images, or the YAML file of a
    public diffusion model. A killed command goes on where it was and gives the same files. Train on
    them with a generator of kind `stored`, or on groups that share a pose with a `pose` section.

    Example: reid-gen generate runs/gcl_pedestrians --out groups --sheet groups.png
    """
    from reid_gen.data.groups import check_groups, load_groups
    from reid_gen.data.images import save_picture
    from reid_gen.engine.generate import generate_groups
    from reid_gen.engine.progress import Terminal
    from reid_gen.report.groups import groups_sheet

    results = Results(output, force)
    if not check:
        if source.suffix in (".yaml", ".yml"):
            way, scorer, images = _pipeline(source)
            made_by = source.name
        else:
            if maker == "mosaic":
                way, scorer, images = _mosaics(source)
            else:
                way, scorer, images = _drawn(source, maker, share, results)
            made_by = _name(source)
        generate_groups(
            way, scorer, images, out,
            members=members, seed=seed, made_by=made_by, progress=Terminal(),
        )  # fmt: skip
    groups = load_groups(out)
    check_groups(groups)
    _describe(groups, results)
    if sheet is not None:
        save_picture(groups_sheet(groups), sheet)


def _name(run: Path) -> str:
    from reid_gen.engine.checkpoint import find_checkpoint, read_card

    return f"{run.name} {read_card(find_checkpoint(run))['sha256'][:16]}"


def _pipeline(file: Path) -> tuple[Maker, Scorer, list[Image]]:
    """A public diffusion model, and the images that have a body to trust."""
    from reid_gen.config.load import load_settings
    from reid_gen.config.pipelines import Groups as Settings
    from reid_gen.engine.build_pipeline import build_groups

    return build_groups(load_settings(file, Settings))


def _drawn(
    run: Path, maker: str, share: float, results: Results
) -> tuple[Maker, Scorer, list[Image]]:
    """What draws with a run's generator, and the images that have a body to trust."""
    from itertools import compress

    from reid_gen.body.table import load_table
    from reid_gen.cli.views import open_run
    from reid_gen.data.datasets import load_dataset
    from reid_gen.engine.build_parts import build_angles
    from reid_gen.engine.makers import Anchored, Turned
    from reid_gen.engine.scoring import Scorer, StructureJudge

    _, config, settings, artist = open_run(run)
    images = load_dataset(config.data.name, config.data.root).train
    table = load_table(settings.bodies / "train.npz")
    trusted = table.trusts([image.key for image in images], settings.least_score)
    chosen = list(compress(images, trusted))
    results.say(f"{len(images) - len(chosen)} of {len(images)} images have no body to trust")
    angles = build_angles(settings.angles)
    way: Maker = Turned(artist, table, angles)
    if maker == "anchored":
        way = Anchored(artist, table, angles, share)
    judge = StructureJudge(table, artist.body, artist.height, artist.width)
    return way, Scorer(artist.runtime.encoder(artist.encoder), judge), chosen


def _mosaics(run: Path) -> tuple[Maker, Scorer, list[Image]]:
    """What cuts images up; only the scores need the run."""
    from reid_gen.config.load import load_config
    from reid_gen.data.datasets import load_dataset
    from reid_gen.engine.checkpoint import find_checkpoint, load_encoder
    from reid_gen.engine.makers import Mosaics
    from reid_gen.engine.run import CONFIG
    from reid_gen.engine.runtime import Runtime
    from reid_gen.engine.scoring import Scorer

    checkpoint = find_checkpoint(run)
    config = load_config(checkpoint.parent / CONFIG, ())
    encoder, _ = load_encoder(checkpoint)
    images = load_dataset(config.data.name, config.data.root).train
    scorer = Scorer(Runtime(config.encoder.precision).encoder(encoder), None)
    return Mosaics(config.data.height, config.data.width), scorer, list(images)


def _describe(groups: Groups, results: Results) -> None:
    from statistics import fmean

    from reid_gen.engine.generate import histogram

    count = groups.about["sources"]
    results.say(f"{len(groups.members):,} images in {count:,} groups: {groups.folder}")
    means: dict[str, float | None] = {}
    for name in ("identity", "structure", "difference"):
        scores = [getattr(member, name) for member in groups.members]
        means[name] = None if None in scores else round(fmean(scores), 4)
        if None not in scores:
            results.say(f"{name} scores:\n{histogram(scores)}")
    about = {"folder": str(groups.folder), "images": len(groups.members), "groups": count}
    results.write({**about, "mean": means})
