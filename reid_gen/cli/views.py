"""``reid-gen views``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from reid_gen.cli.command import Command, Output
from reid_gen.cli.options import ANGLES, FORCE, IMAGES, INPUT, MODEL_PATH, RASTERISER

if TYPE_CHECKING:
    from reid_gen.config.generators import Drawn
    from reid_gen.config.schema import Config
    from reid_gen.generators.renderer import ViewRenderer


TURN = Output(endings=(".png", ".jpg", ".gif", ".mp4"))


@click.command(cls=Command)
@click.argument("run", type=MODEL_PATH)
@click.argument("images", type=IMAGES, nargs=-1, required=True)
@click.option(
    "--out", type=TURN, required=True, help="Sheet (.png, .jpg) or animated turn (.gif, .mp4)."
)
@click.option(
    "--degrees",
    type=ANGLES,
    default="45,90,135,180,225,270,315",
    show_default=True,
    help="Turns on a sheet.",
)
@click.option("--bodies", type=INPUT, help="Table of `reid-gen meshes`; else bodies are estimated.")
@RASTERISER
@FORCE
def views(
    run: Path,
    images: tuple[str, ...],
    out: Path,
    degrees: tuple[float, ...],
    bodies: Path | None,
    rasteriser: str | None,
) -> None:
    """Draw the people of IMAGES from other sides with the generator of RUN.

    Example: reid-gen views runs/gcl_pedestrians crops/ --out turn.gif
    """
    import numpy as np

    from reid_gen.body.table import load_table
    from reid_gen.data.find_images import find_images
    from reid_gen.extras import need

    if out.suffix.lower() == ".mp4":
        need("writing .mp4", "imageio_ffmpeg", instead="write .gif")
    found = find_images(images)

    from reid_gen.body.estimate.estimator import MeshRecovery
    from reid_gen.generators.renderer import named_as_in, recover_bodies
    from reid_gen.report.turning import draw_turns

    renderer = open_run(run, {"body.rasteriser": rasteriser})[-1]
    if bodies is None:
        table = recover_bodies(found, MeshRecovery())
    else:
        table = load_table(bodies)
        found = named_as_in(table, found)
    draw_turns(renderer, found, table, np.array(degrees, np.float32), out)
    click.echo(f"drew views of {len(found)} images: {out}")


def open_run(
    run: Path, settings: Mapping[str, object] = MappingProxyType({})
) -> tuple[Path, Config, Drawn, ViewRenderer]:
    """Checkpoint, settings, those of the generator, and the artist of a run that draws.

    Args:
        run: Folder or checkpoint.
        settings: By name, those that replace the run's own; one of None replaces nothing.

    Raises:
        UserError: If there is no such run, or a setting does not fit it.
    """
    from reid_gen.config.generators import Drawn
    from reid_gen.config.load import load_config
    from reid_gen.models.weight_files import checkpoint_folder
    from reid_gen.training.run_folder import CONFIG

    overrides = [f"{name}={value}" for name, value in settings.items() if value is not None]
    config = load_config(checkpoint_folder(run).parent / CONFIG, overrides)

    from reid_gen.builders.generator import build_view_renderer
    from reid_gen.models.checkpoint import find_checkpoint

    checkpoint = find_checkpoint(run)
    renderer = build_view_renderer(config, checkpoint)
    assert isinstance(config.generator, Drawn)
    return checkpoint, config, config.generator, renderer
