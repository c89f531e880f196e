"""``reid-gen generate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_gen.cli.command import Command
from reid_gen.cli.options import (
    FILES_FORCE,
    IMAGE_FILE,
    JSON,
    MEMBER_RANGE,
    MODEL_PATH,
    RESUMABLE_FOLDER,
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
    """Source of positives, their scorer, source images, and provenance for the header."""


DEFAULT_MAKER, DEFAULT_MEMBERS, DEFAULT_SHARE, DEFAULT_SEED = "turned", 4, 0.1, 1
"""Defaults that click does not fill in, because --check compares only options that are given."""


@click.command(cls=Command)
@click.argument("source", type=MODEL_PATH, required=False)
@click.option("--out", type=RESUMABLE_FOLDER, required=True, help="Folder for the groups.")
@click.option(
    "--maker",
    type=click.Choice(["turned", "anchored", "mosaic"]),
    show_default=DEFAULT_MAKER,
    help="Kind of positives of a run: views on rotated bodies; such views anchored to the image by "
    "diffusion (CLSP); mosaics of image pieces (CLIC).",
)
@click.option(
    "--members", type=MEMBER_RANGE, show_default=str(DEFAULT_MEMBERS), help="Images per group."
)
@click.option(
    "--share",
    type=SHARE_RANGE,
    show_default=str(DEFAULT_SHARE),
    help="Share of the view's own bottleneck features, with --maker anchored.",
)
@click.option(
    "--steps",
    type=click.IntRange(1, 1000),
    help="Sampling steps of a run's diffusion model (CLSP: 100; default: the run's setting).",
)
@click.option("--seed", type=SEED_RANGE, show_default=str(DEFAULT_SEED), help="Random seed.")
@click.option(
    "--check",
    is_flag=True,
    help="Verify the groups in --out against their header and these options instead of generating.",
)
@click.option("--sheet", type=IMAGE_FILE, help="Contact sheet of some groups, .png or .jpg.")
@JSON
@FILES_FORCE
def generate(
    *,
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
    """Generate positives of training images before training.

    SOURCE is a run, whose generator or --maker generates positives of its training images, or the
    pipeline file (YAML) of a public diffusion model. An interrupted command can be run again: it
    resumes and writes the same files. Train on them with a generator of kind `stored`, or, on
    groups that share a pose, with a `pose` section. --check generates nothing and needs no SOURCE.

    Example: reid-gen generate runs/gcl_pedestrians --out groups --sheet groups.png
    """
    _check_options_used(source, maker, share, steps, check)

    from reid_gen.data.check_groups import check_groups
    from reid_gen.data.positive_groups import check_no_other_files, load_groups
    from reid_gen.report.groups import groups_sheet

    results = Results(output)
    if source is not None and not check:
        check_no_other_files(out)
        share = DEFAULT_SHARE if share is None else share
        seed = DEFAULT_SEED if seed is None else seed
        job = _job(source, maker or DEFAULT_MAKER, share, steps, results)
        _generate(job, out, members or DEFAULT_MEMBERS, seed)
    groups = load_groups(out)
    if check:
        options = {"maker": maker, "members": members, "share": share, "steps": steps, "seed": seed}
        _check_provenance(groups, source, options)
    check_groups(groups)
    _describe(groups, results)
    if sheet is not None:
        count = groups.header["sources"]
        results.write_image(groups_sheet(groups), sheet, f"some of {count:,} groups")


def _is_pipeline(source: Path) -> bool:
    return source.suffix in (".yaml", ".yml")


def _check_options_used(
    source: Path | None, maker: str | None, share: float | None, steps: int | None, check: bool
) -> None:
    """Check that SOURCE is given unless --check is, and that every option has an effect.

    Raises:
        UsageError: If SOURCE is missing or an option has no effect.
    """
    if source is None:
        if not check:
            raise click.UsageError("SOURCE is missing; give a run or a pipeline file (YAML)")
    elif _is_pipeline(source):
        run_options = {"--maker": maker, "--share": share, "--steps": steps}
        unused = [f"{name} {value}" for name, value in run_options.items() if value is not None]
        if unused:
            raise click.UsageError(
                f"{' '.join(unused)} has no effect with {source}, which sets how positives are "
                "generated; leave it out, or give a run"
            )
    elif share is not None and maker != "anchored":
        raise click.UsageError(
            f"--share {share} has no effect without --maker anchored; leave it out"
        )
    elif steps is not None and maker == "mosaic":
        raise click.UsageError(f"--steps {steps} has no effect with --maker mosaic; leave it out")


def _check_provenance(groups: Groups, source: Path | None, options: Mapping[str, object]) -> None:
    """Check that groups were generated from SOURCE with the given options.

    Raises:
        UserError: If their header names another source or other options.
    """
    from reid_gen.errors import UserError

    expected = {name: value for name, value in options.items() if value is not None}
    if source is not None:
        expected["made_by"] = source.name if _is_pipeline(source) else _run_name(source)
    differences = [
        f"{name} {groups.header.get(name)} instead of {value}"
        for name, value in expected.items()
        if str(groups.header.get(name)) != str(value)
    ]
    if differences:
        raise UserError(
            f"{groups.folder} holds groups with {', '.join(differences)}; give another --out, or "
            "leave out the options that need not be checked"
        )


def _job(source: Path, maker: str, share: float, steps: int | None, results: Results) -> Job:
    """Build what generates the positives, their scorer and their source images."""
    if _is_pipeline(source):
        return _pipeline_job(source)
    if maker == "mosaic":
        return _mosaic_job(source)
    return _view_job(source, maker, share, steps, results)


def _generate(job: Job, out: Path, members: int, seed: int) -> None:
    from reid_gen.positives.generate import generate_groups
    from reid_gen.runtime.progress import Terminal

    positives, scorer, images, provenance = job
    generate_groups(
        positives, scorer, images, out,
        members=members, seed=seed, provenance=provenance, progress=Terminal(),
    )  # fmt: skip


def _run_name(run: Path) -> str:
    """Name a run by its folder and the digest of its encoder."""
    from reid_gen.models.checkpoint import find_checkpoint, read_card

    return f"{run.name} {read_card(find_checkpoint(run))['sha256'][:16]}"


def _pipeline_job(file: Path) -> Job:
    """Build a public diffusion model, on the images with a confident body."""
    from reid_gen.cli.settings import check_paths_exist
    from reid_gen.config.load import load_settings
    from reid_gen.config.pipelines import Groups as Settings
    from reid_gen.extras import need

    settings = load_settings(file, Settings)
    check_paths_exist(settings)

    need("Stable Diffusion", "transformers", "diffusers")
    from reid_gen.builders.stable_diffusion import build_groups, groups_provenance

    return *build_groups(settings), {"made_by": file.name, **groups_provenance(settings)}


def _view_job(run: Path, maker: str, share: float, steps: int | None, results: Results) -> Job:
    """Open a run's generator, on the training images with a confident body."""
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
    table_file = settings.bodies / "train.npz"
    table = load_table(table_file)
    is_confident = table.confidence_mask([image.key for image in images], settings.min_score)
    sources = list(compress(images, is_confident))
    results.echo(
        f"{len(images) - len(sources)} of {len(images)} images are skipped: they have no body with "
        f"a score of {settings.min_score:g} or more"
    )
    angles = build_angles(settings.angles)
    positives: PositiveSource = TurnedViews(renderer, table, angles)
    if maker == "anchored":
        positives = AnchoredViews(renderer, table, angles, share)
    silhouettes = SilhouetteScorer(renderer.maps(table))
    contents = {
        "bodies": table_file,
        "generator": saved.checkpoint / f"{GENERATOR}{WEIGHTS_SUFFIX}",
    }
    digests = {name: content_digest(path) for name, path in contents.items()}
    provenance: dict[str, Any] = {"made_by": _run_name(run), "contents_sha256": digests}
    provenance |= {} if steps is None else {"steps": steps}
    scorer = Scorer(renderer.runtime.encoder(renderer.encoder), silhouettes)
    return positives, scorer, sources, provenance


def _mosaic_job(run: Path) -> Job:
    """Build the source of mosaics; the run gives training images and the encoder of the scorer."""
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
    positives = Mosaics(config.data.height, config.data.width)
    return positives, scorer, list(images), {"made_by": _run_name(run)}


def _describe(groups: Groups, results: Results) -> None:
    """Print and write counts and scores of the groups."""
    from statistics import fmean

    from reid_gen.positives.generate import histogram

    count = groups.header["sources"]
    results.echo(f"{len(groups.members):,} images in {count:,} groups: {groups.folder}")
    means: dict[str, float | None] = {}
    for name in ("identity", "structure", "difference"):
        scores = [getattr(member, name) for member in groups.members]
        means[name] = None if None in scores else round(fmean(scores), 4)
        if None not in scores:
            results.echo(f"{name} scores:\n{histogram(scores)}")
    counts = {"folder": str(groups.folder), "images": len(groups.members), "groups": count}
    results.write_json({**counts, "mean": means})
