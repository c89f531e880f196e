"""``reid-gen generate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_gen.cli.command import Command
from reid_gen.cli.options import (
    FILES_FORCE,
    JSON,
    MEMBER_RANGE,
    MODEL_PATH,
    PICTURE,
    RESUMED,
    SEED_RANGE,
    SHARE_RANGE,
)
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reid_gen.data.positive_groups import Groups
    from reid_gen.positives.scores import Scorer
    from reid_gen.positives.sources import PositiveSource
    from reid_gen.types import Image

    Job = tuple[PositiveSource, Scorer, list[Image], dict[str, Any]]
    """What makes and scores groups, of which images, and what is said of it."""


MAKER, MEMBERS, SHARE, SEED = "turned", 4, 0.1, 1
"""What options are unless they are given; --check compares only those that are."""


@click.command(cls=Command)
@click.argument("source", type=MODEL_PATH, required=False)
@click.option("--out", type=RESUMED, required=True, help="Folder for the groups.")
@click.option(
    "--maker",
    type=click.Choice(["turned", "anchored", "mosaic"]),
    show_default=MAKER,
    help="Bodies turned; the same with the image's content alone (CLSP, diffusion); pieces (CLIC).",
)
@click.option("--members", type=MEMBER_RANGE, show_default=str(MEMBERS), help="Per image.")
@click.option(
    "--share",
    type=SHARE_RANGE,
    show_default=str(SHARE),
    help="Of a picture's own content with --maker anchored; the rest is the image's.",
)
@click.option(
    "--steps",
    type=click.IntRange(1, 1000),
    help="Of a run's diffusion model, for each picture (CLSP: 100); by default the run's setting.",
)
@click.option("--seed", type=SEED_RANGE, show_default=str(SEED))
@click.option("--check", is_flag=True, help="Only compare --out with what is said of it, and here.")
@click.option("--sheet", type=PICTURE, help="Draw some groups into a .png or .jpg.")
@JSON
@FILES_FORCE
def generate(
    source: Path | None,
    out: Path,
    maker: str | None,
    members: int | None,
    share: float | None,
    steps: int | None,
    seed: int | None,
    check: bool,
    sheet: Path | None,
    output: Path | None,
) -> None:
    """Make positives of training images, once and for all.

    SOURCE is a run, whose own generator or --maker makes them of its images, or the YAML file of a
    public diffusion model. A killed command goes on where it was and gives the same files. Train on
    them with a generator of kind `stored`, or on groups that share a pose with a `pose` section.
    --check makes none: it counts and compares those that lie in --out, and needs no SOURCE.

    Example: reid-gen generate runs/gcl_pedestrians --out groups --sheet groups.png
    """
    _refuse_unused(source, maker, share, steps, check)

    from reid_gen.data.check_groups import check_groups
    from reid_gen.data.positive_groups import check_no_other_files, load_groups
    from reid_gen.report.groups import groups_sheet

    results = Results(output)
    if source is not None and not check:
        check_no_other_files(out)
        share, seed = SHARE if share is None else share, SEED if seed is None else seed
        _make(source, out, maker or MAKER, members or MEMBERS, share, steps, seed, results)
    groups = load_groups(out)
    if check:
        asked = {
            "maker": maker, "members": members, "share": share, "steps": steps, "seed": seed
        }  # fmt: skip
        _refuse_other(groups, source, asked)
    check_groups(groups)
    _describe(groups, results)
    if sheet is not None:
        count = groups.header["sources"]
        results.draw(groups_sheet(groups), sheet, f"some of {count:,} groups")


def _is_pipeline(source: Path) -> bool:
    return source.suffix in (".yaml", ".yml")


def _refuse_unused(
    source: Path | None,
    maker: str | None,
    share: float | None,
    steps: int | None,
    check: bool,
) -> None:
    """See that SOURCE is there, and no option that would be without effect.

    Raises:
        UsageError: If it is not so.
    """
    if source is None:
        if not check:
            raise click.UsageError(
                "no SOURCE: give a run, or the YAML file of a public diffusion model"
            )
    elif _is_pipeline(source):
        given = {"--maker": maker, "--share": share, "--steps": steps}
        unused = [f"{name} {value}" for name, value in given.items() if value is not None]
        if unused:
            raise click.UsageError(
                f"{' '.join(unused)} has no effect with {source}: the file says how pictures are "
                "made; leave it out, or give a run"
            )
    elif share is not None and maker != "anchored":
        raise click.UsageError(
            f"--share {share} has no effect without --maker anchored; leave it out"
        )
    elif steps is not None and maker == "mosaic":
        raise click.UsageError(f"--steps {steps} has no effect with --maker mosaic; leave it out")


def _refuse_other(groups: Groups, source: Path | None, asked: Mapping[str, object]) -> None:
    """See that groups are those that --check was asked for.

    Raises:
        UserError: If they were made of or by something else.
    """
    from reid_gen.errors import UserError

    wanted = {name: value for name, value in asked.items() if value is not None}
    if source is not None:
        wanted["made_by"] = source.name if _is_pipeline(source) else _name(source)
    there = groups.header
    other = [
        f"{name} {there.get(name)} and not {value}"
        for name, value in wanted.items()
        if str(there.get(name)) != str(value)
    ]
    if other:
        raise UserError(
            f"{groups.folder} holds groups with {', '.join(other)}; give the --out of those, or "
            "leave out with --check what need not be compared"
        )


def _make(
    source: Path,
    out: Path,
    maker: str,
    members: int,
    share: float,
    steps: int | None,
    seed: int,
    results: Results,
) -> None:
    if _is_pipeline(source):
        way, scorer, images, card = _pipeline(source)
    elif maker == "mosaic":
        way, scorer, images, card = _mosaics(source)
    else:
        way, scorer, images, card = _drawn(source, maker, share, steps, results)

    from reid_gen.positives.generate import generate_groups
    from reid_gen.runtime.progress import Terminal

    generate_groups(
        way, scorer, images, out,
        members=members, seed=seed, provenance=card, progress=Terminal(),
    )  # fmt: skip


def _name(run: Path) -> str:
    from reid_gen.models.checkpoint import find_checkpoint, read_card

    return f"{run.name} {read_card(find_checkpoint(run))['sha256'][:16]}"


def _pipeline(file: Path) -> Job:
    """A public diffusion model, and the images that have a body to trust."""
    from reid_gen.cli.settings import refuse_missing_paths
    from reid_gen.config.load import load_settings
    from reid_gen.config.pipelines import Groups as Settings
    from reid_gen.extras import need

    settings = load_settings(file, Settings)
    refuse_missing_paths(settings)

    need("Stable Diffusion", "transformers", "diffusers")
    from reid_gen.builders.stable_diffusion import build_groups, card_of

    return *build_groups(settings), {"made_by": file.name, **card_of(settings)}


def _drawn(run: Path, maker: str, share: float, steps: int | None, results: Results) -> Job:
    """What draws with a run's generator, and the images that have a body to trust."""
    from itertools import compress

    from reid_gen.body.table import load_table
    from reid_gen.builders.saved_run import open_run
    from reid_gen.builders.turned_maps import build_angles
    from reid_gen.data.datasets import load_dataset, training_images
    from reid_gen.files import content_digest
    from reid_gen.models.checkpoint import WEIGHTS_SUFFIX
    from reid_gen.positives.scores import Scorer, SilhouetteScorer
    from reid_gen.positives.sources import AnchoredViews, TurnedViews
    from reid_gen.training.step import GENERATOR

    saved = open_run(run, {"generator.steps": steps})
    data, settings, renderer = saved.config.data, saved.generator, saved.renderer
    images = training_images(load_dataset(data.name, data.root))
    file = settings.bodies / "train.npz"
    table = load_table(file)
    trusted = table.confidence_mask([image.key for image in images], settings.min_score)
    chosen = list(compress(images, trusted))
    results.say(f"{len(images) - len(chosen)} of {len(images)} images have no body to trust")
    angles = build_angles(settings.angles)
    way: PositiveSource = TurnedViews(renderer, table, angles)
    if maker == "anchored":
        way = AnchoredViews(renderer, table, angles, share)
    judge = SilhouetteScorer(renderer.maps(table))
    contents = {"bodies": file, "generator": saved.checkpoint / f"{GENERATOR}{WEIGHTS_SUFFIX}"}
    digests = {name: content_digest(path) for name, path in contents.items()}
    card: dict[str, Any] = {"made_by": _name(run), "contents_sha256": digests}
    card |= {} if steps is None else {"steps": steps}
    return way, Scorer(renderer.runtime.encoder(renderer.encoder), judge), chosen, card


def _mosaics(run: Path) -> Job:
    """What cuts images up; only the scores need the run."""
    from reid_gen.config.load import load_config
    from reid_gen.data.datasets import load_dataset, training_images
    from reid_gen.models.weight_files import checkpoint_folder
    from reid_gen.training.run_folder import CONFIG

    checkpoint = checkpoint_folder(run)
    config = load_config(checkpoint.parent / CONFIG, ())
    images = training_images(load_dataset(config.data.name, config.data.root))

    from reid_gen.models.checkpoint import load_encoder
    from reid_gen.positives.scores import Scorer
    from reid_gen.positives.sources import Mosaics
    from reid_gen.runtime.devices import Runtime

    encoder, _ = load_encoder(checkpoint)
    scorer = Scorer(Runtime(config.encoder.precision).encoder(encoder), None)
    way = Mosaics(config.data.height, config.data.width)
    return way, scorer, list(images), {"made_by": _name(run)}


def _describe(groups: Groups, results: Results) -> None:
    from statistics import fmean

    from reid_gen.positives.generate import histogram

    count = groups.header["sources"]
    results.say(f"{len(groups.members):,} images in {count:,} groups: {groups.folder}")
    means: dict[str, float | None] = {}
    for name in ("identity", "structure", "difference"):
        scores = [getattr(member, name) for member in groups.members]
        means[name] = None if None in scores else round(fmean(scores), 4)
        if None not in scores:
            results.say(f"{name} scores:\n{histogram(scores)}")
    about = {"folder": str(groups.folder), "images": len(groups.members), "groups": count}
    results.write({**about, "mean": means})
