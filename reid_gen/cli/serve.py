"""``reid-gen serve``."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.cli.command import Command
from reid_gen.cli.options import IMAGES, MODEL_PATH

if TYPE_CHECKING:
    from collections.abc import Callable

    from reid_gen.report.app import CaptionedImages


@click.command(cls=Command)
@click.argument("model", type=MODEL_PATH)
@click.option(
    "--gallery",
    type=IMAGES,
    multiple=True,
    required=True,
    help="Gallery images: folder, file, glob or @list.txt; may be repeated.",
)
@click.option("--views", type=MODEL_PATH, help="Run whose generator shows people from other sides.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; only this computer can reach the default.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=7860, show_default=True, help="TCP port."
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Additional host name of the page, such as a proxy's; may be repeated.",
)
def serve(
    model: Path,
    gallery: tuple[str, ...],
    views: Path | None,
    host: str,
    port: int,
    hosts: tuple[str, ...],
) -> None:
    """Serve a local web page that searches a gallery with MODEL.

    MODEL is a run, an exported file or a model zoo name. No data leaves the computer; with another
    --host than the default, everyone who can reach it can see the gallery. Uploaded images are
    deleted when the server stops.

    Example: reid-gen serve resnet10t.rendered --gallery crops/
    """
    from reid_gen.data.find_images import find_images
    from reid_gen.extras import need
    from reid_gen.runtime.progress import Terminal

    need("a page", "gradio")
    gallery_images = find_images(gallery)

    from reid_gen.inference.search import Gallery
    from reid_gen.report.app import build_app, launch, private_uploads

    turn = None if views is None else _view_function(views)
    searchable = Gallery(model, gallery_images, Terminal())
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # like Ctrl-C, so that uploads are deleted
    with private_uploads():
        app = build_app(searchable, turn)
        click.echo(f"http://{host}:{port} (press Ctrl-C to stop)")
        launch(app, host, port, hosts)


def _view_function(run: Path) -> Callable[[str | None], CaptionedImages]:
    """Return a function from an image file to views of its person."""
    from functools import partial

    from reid_gen.body.estimate.estimator import RegressorEstimator
    from reid_gen.builders.saved_run import open_run
    from reid_gen.report.app import rotated_views

    return partial(rotated_views, open_run(run).renderer, RegressorEstimator())
