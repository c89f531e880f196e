"""``reid-gen views``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.cli.options import PATH

if TYPE_CHECKING:
    from reid_gen.config.generators import Drawn
    from reid_gen.config.schema import Config
    from reid_gen.engine.artist import Artist
    from reid_gen.types import Floats


@click.command()
@click.argument("run", type=PATH)
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--out", type=PATH, required=True, help="Sheet (.png, .jpg) or animated turn (.gif, .mp4)."
)
@click.option(
    "--degrees", default="45,90,135,180,225,270,315", show_default=True, help="Turns on a sheet."
)
@click.option("--bodies", type=PATH, help="Table of `reid-gen meshes`; else bodies are estimated.")
@click.option("--force", is_flag=True, help="Overwrite the output.")
def views(
    run: Path, images: tuple[str, ...], out: Path, degrees: str, bodies: Path | None, force: bool
) -> None:
    """Draw the people of IMAGES from other sides with the generator of RUN.

    Example: reid-gen views runs/gcl_pedestrians crops/ --out turn.gif
    """
    from reid_gen.body.recover import MeshRecovery
    from reid_gen.body.table import load_table
    from reid_gen.data.find_images import find_images
    from reid_gen.engine.artist import named_as_in, recover_bodies
    from reid_gen.files import refuse_existing
    from reid_gen.report.turning import check_name, draw_turns

    check_name(out)
    refuse_existing(out, force)
    angles = parse_degrees(degrees)
    found = find_images(images)
    artist = open_run(run)[-1]
    if bodies is None:
        table = recover_bodies(found, MeshRecovery())
    else:
        table = load_table(bodies)
        found = named_as_in(table, found)
    draw_turns(artist, found, table, angles, out)
    click.echo(f"drew {len(found)} people: {out}")


def open_run(run: Path) -> tuple[Path, Config, Drawn, Artist]:
    """Checkpoint, settings, those of the generator, and the artist of a run that draws.

    Raises:
        UserError: If there is no such run.
    """
    from reid_gen.config.generators import Drawn
    from reid_gen.config.load import load_config
    from reid_gen.engine.build_parts import build_artist
    from reid_gen.engine.checkpoint import find_checkpoint
    from reid_gen.engine.run_folder import CONFIG

    checkpoint = find_checkpoint(run)
    config = load_config(checkpoint.parent / CONFIG, ())
    artist = build_artist(config, checkpoint)
    assert isinstance(config.generator, Drawn)
    return checkpoint, config, config.generator, artist


def parse_degrees(text: str) -> Floats:
    """Angles in degrees, [V], from a list with commas.

    Raises:
        UserError: If a word is no number.
    """
    import numpy as np

    from reid_gen.errors import UserError

    try:
        return np.array([float(word) for word in text.split(",")], dtype=np.float32)
    except ValueError as error:
        raise UserError(f"--degrees {text}: {error}; give numbers such as 90,180,270") from error
