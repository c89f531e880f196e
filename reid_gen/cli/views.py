"""``reid-gen views``."""

from __future__ import annotations

from pathlib import Path

import click

from reid_gen.cli.command import Command, Output
from reid_gen.cli.options import ANGLES, FORCE, IMAGES, INPUT, MODEL_PATH, RASTERISER

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
    from reid_gen.builders.saved_run import open_run
    from reid_gen.generators.renderer import match_by_file_name, estimate_bodies
    from reid_gen.report.turning import draw_turns

    renderer = open_run(run, {"body.rasteriser": rasteriser}).renderer
    if bodies is None:
        table = estimate_bodies(found, MeshRecovery())
    else:
        table = load_table(bodies)
        found = match_by_file_name(table, found)
    draw_turns(renderer, found, table, np.array(degrees, np.float32), out)
    click.echo(f"drew views of {len(found)} images: {out}")
