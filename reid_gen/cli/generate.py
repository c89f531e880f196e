"""``reid-gen generate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.choices import EngineName
from reid_gen.cli.blocks import BlockOptions, remove_blocks, report_shard
from reid_gen.cli.command import Command
from reid_gen.cli.options import (
    ACTORS,
    ENGINE,
    FILES_FORCE,
    IMAGE_FILE,
    JSON,
    MEMBER_RANGE,
    MODEL_PATH,
    RESUMABLE_FOLDER,
    SEED_RANGE,
    SHARD,
    SHARE_RANGE,
)
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reid_gen.builders.positives import PositivesSpec
    from reid_gen.data.positive_groups import Groups
    from reid_gen.positives.generate import Positives


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
@ENGINE
@ACTORS
@SHARD
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
    engine: EngineName,
    actors: int | None,
    shard: tuple[int, int] | None,
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
    options = BlockOptions(engine, actors, shard)
    options.check(sheet)
    if check and options.in_blocks:
        raise click.UsageError("--check reads groups; leave out --engine and --shard")

    from reid_gen.builders.positives import PositivesSpec
    from reid_gen.data.check_groups import check_groups
    from reid_gen.data.positive_groups import check_no_other_files, load_groups
    from reid_gen.report.groups import groups_sheet

    results = Results(output)
    if source is not None and not check:
        if shard is None:
            check_no_other_files(out)
        share = DEFAULT_SHARE if share is None else share
        seed = DEFAULT_SEED if seed is None else seed
        spec = PositivesSpec(source, maker or DEFAULT_MAKER, share, steps)
        if not _generate(spec, out, options, members or DEFAULT_MEMBERS, seed, results):
            return
    groups = load_groups(out)
    if check:
        given = {"maker": maker, "members": members, "share": share, "steps": steps, "seed": seed}
        _check_provenance(groups, source, given)
    check_groups(groups)
    describe_groups(groups, results)
    if sheet is not None:
        count = groups.header["sources"]
        results.write_image(groups_sheet(groups), sheet, f"some of {count:,} groups")


def _check_options_used(
    source: Path | None, maker: str | None, share: float | None, steps: int | None, check: bool
) -> None:
    """Check that SOURCE is given unless --check is, and that every option has an effect.

    Raises:
        UsageError: If SOURCE is missing or an option has no effect.
    """
    from reid_gen.builders.positives import is_pipeline

    if source is None:
        if not check:
            raise click.UsageError("SOURCE is missing; give a run or a pipeline file (YAML)")
    elif is_pipeline(source):
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
    from reid_gen.builders.positives import is_pipeline, run_name
    from reid_gen.errors import UserError

    expected = {name: value for name, value in options.items() if value is not None}
    if source is not None:
        expected["made_by"] = source.name if is_pipeline(source) else run_name(source)
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


def _generate(
    spec: PositivesSpec,
    out: Path,
    options: BlockOptions,
    members: int,
    seed: int,
    results: Results,
) -> bool:
    """Generate all groups, or a shard; return whether all groups are there."""
    _check_pipeline(spec.source)

    from reid_gen.builders.positives import build_positives
    from reid_gen.positives.generate import generate_groups
    from reid_gen.runtime.progress import Terminal

    if options.in_blocks:
        return _generate_in_blocks(spec, out, options, members, seed, results)
    positives = build_positives(spec)
    _echo_skipped(positives, results)
    generate_groups(
        positives.source, positives.scorer, positives.images, out,
        members=members, seed=seed, provenance=positives.provenance, progress=Terminal(),
    )  # fmt: skip
    return True


def _generate_in_blocks(
    spec: PositivesSpec,
    out: Path,
    options: BlockOptions,
    members: int,
    seed: int,
    results: Results,
) -> bool:
    from functools import partial

    from reid_gen.builders.positives import build_positives, free_gpu
    from reid_gen.data.positive_groups import missing_parts, start_groups
    from reid_gen.distributed.blocks import read_blocks
    from reid_gen.positives.generate import groups_header
    from reid_gen.positives.generate_blocks import generate_job, write_groups

    positives = build_positives(spec)
    _echo_skipped(positives, results)
    images, provenance = positives.images, positives.provenance
    header = groups_header(
        positives.source, images, members=members, seed=seed, provenance=provenance
    )
    del positives
    free_gpu()
    job = generate_job(images, header, partial(build_positives, spec))
    if options.shard is None:
        start_groups(out, header)
        if not missing_parts(out, header):
            return True
    folder = options.compute(job, out)
    if options.shard is not None:
        report_shard(folder, out, results)
        return False
    write_groups(read_blocks([folder]), folder.header, out)
    remove_blocks(folder)
    return True


def _echo_skipped(positives: Positives, results: Results) -> None:
    if positives.skipped is not None:
        results.echo(positives.skipped)


def _check_pipeline(source: Path) -> None:
    """Check the paths of a pipeline file and the packages that it needs, before torch loads."""
    from reid_gen.builders.positives import is_pipeline
    from reid_gen.cli.settings import check_paths_exist
    from reid_gen.config.load import load_settings
    from reid_gen.config.pipelines import Groups as Settings
    from reid_gen.extras import need

    if is_pipeline(source):
        check_paths_exist(load_settings(source, Settings))
        need("Stable Diffusion", "transformers", "diffusers")


def describe_groups(groups: Groups, results: Results) -> None:
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
