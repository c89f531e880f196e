"""``reid-gen generate``."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder for the groups.")
@click.option("--members", type=click.IntRange(1), default=4, show_default=True, help="Per image.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--check", is_flag=True, help="Only compare every file with its checksum.")
@click.option("--sheet", type=PATH, help="Draw some groups into a .png or .jpg.")
def generate(
    run: Path, out: Path, members: int, seed: int, check: bool, sheet: Path | None
) -> None:
    """Draw views of every training image of RUN, once and for all.

    A killed command goes on where it was and gives the same files. Train on them with a generator
    of kind `stored`.

    Example: reid-gen generate runs/gcl_pedestrians --out groups --sheet groups.png
    """
    from reid_gen.body.table import load_table
    from reid_gen.cli.views import open_run
    from reid_gen.data.datasets import load_dataset
    from reid_gen.data.groups import check_groups, load_groups
    from reid_gen.data.images import save_picture
    from reid_gen.engine.build_parts import build_angles
    from reid_gen.engine.checkpoint import read_card
    from reid_gen.engine.generate import generate_groups, identity_histogram
    from reid_gen.engine.progress import Terminal
    from reid_gen.report.groups import groups_sheet

    if not check:
        checkpoint, config, settings, artist = open_run(run)
        images = load_dataset(config.data.name, config.data.root).train
        table = load_table(settings.bodies / "train.npz")
        trusted = table.of([image.key for image in images]).score >= settings.least_score
        chosen = [image for image, good in zip(images, trusted, strict=True) if good]
        generate_groups(
            artist, chosen, table, out,
            angles=build_angles(settings.angles), members=members, seed=seed,
            made_by=f"{run.name} {read_card(checkpoint)['sha256'][:16]}", progress=Terminal(),
        )  # fmt: skip
        click.echo(f"{len(images) - len(chosen)} of {len(images)} images have no body to trust")
    groups = load_groups(out)
    check_groups(groups)
    click.echo(f"{len(groups.members):,} images in {groups.about['sources']:,} groups: {out}")
    click.echo("identity scores:")
    click.echo(identity_histogram([member.identity for member in groups.members]))
    if sheet is not None:
        save_picture(groups_sheet(groups), sheet)
