"""``reid-gen views``."""

from __future__ import annotations

from pathlib import Path

import click

from reid_gen.cli.command import Command, Output
from reid_gen.cli.options import ANGLES, FORCE, IMAGES, INPUT, MODEL_PATH, RASTERISER

VIEWS_FILE = Output(suffixes=(".png", ".jpg", ".gif", ".mp4"))


@click.command(cls=Command)
@click.argument("run", type=MODEL_PATH)
@click.argument("images", type=IMAGES, nargs=-1, required=True)
@click.option(
    "--out",
    type=VIEWS_FILE,
    required=True,
    help="Contact sheet (.png, .jpg) or animated rotation (.gif, .mp4) to write.",
)
@click.option(
    "--degrees",
    type=ANGLES,
    default="45,90,135,180,225,270,315",
    show_default=True,
    help="Comma-separated rotation angles of a contact sheet in degrees.",
)
@click.option(
    "--bodies", type=INPUT, help="Body table of `reid-gen meshes` (default: bodies are estimated)."
)
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
    """Generate views of the people of IMAGES with RUN's generator.

    Views show the people from other sides. IMAGES are folders, files, quoted globs or @list.txt.

    Example: reid-gen views runs/gcl_pedestrians crops/ --out turn.gif
    """
    import numpy as np

    from reid_gen.body.table import load_table
    from reid_gen.data.find_images import find_images
    from reid_gen.extras import need

    if out.suffix.lower() == ".mp4":
        need("writing .mp4", "imageio_ffmpeg", instead="write .gif")
    sources = find_images(images)

    from reid_gen.body.estimate.estimator import RegressorEstimator
    from reid_gen.builders.saved_run import open_run
    from reid_gen.generators.renderer import estimate_bodies, match_by_file_name
    from reid_gen.report.turning import write_views

    renderer = open_run(run, {"body.rasteriser": rasteriser}).renderer
    if bodies is None:
        table = estimate_bodies(sources, RegressorEstimator())
    else:
        table = load_table(bodies)
        sources = match_by_file_name(table, sources)
    write_views(renderer, sources, table, np.array(degrees, np.float32), out)
    click.echo(f"wrote views of {len(sources)} images: {out}")
