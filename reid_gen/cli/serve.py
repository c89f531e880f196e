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

    from reid_gen.report.app import Pictures


@click.command(cls=Command)
@click.argument("model", type=MODEL_PATH)
@click.option(
    "--gallery", type=IMAGES, multiple=True, required=True, help="Folder, file, glob, @list."
)
@click.option("--views", type=MODEL_PATH, help="Run with a generator, to turn people around.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Who may open it: this host.")
@click.option("--port", type=click.IntRange(1, 65535), default=7860, show_default=True)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Further host name to open it under, such as a proxy's.",
)
def serve(
    model: Path,
    gallery: tuple[str, ...],
    views: Path | None,
    host: str,
    port: int,
    hosts: tuple[str, ...],
) -> None:
    """Open a local page to search a gallery with MODEL, a run, an exported file or a zoo name.

    Nothing leaves the computer; with another --host than the default, who can reach it can see the
    gallery. Uploaded pictures are removed when the page is stopped.

    Example: reid-gen serve resnet10t.rendered --gallery crops/
    """
    from reid_gen.data.find_images import find_images
    from reid_gen.extras import need
    from reid_gen.runtime.progress import Terminal

    need("a page", "gradio")
    found = find_images(gallery)

    from reid_gen.inference.search import Gallery
    from reid_gen.report.app import build_app, launch, private_uploads

    turn = None if views is None else _turn(views)
    images = Gallery(model, found, Terminal())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, so files go
    with private_uploads():
        app = build_app(images, turn)
        click.echo(f"http://{host}:{port} (Ctrl-C stops it)")
        launch(app, host, port, hosts)


def _turn(run: Path) -> Callable[[str | None], Pictures]:
    """From a picture's file to its views."""
    from functools import partial

    from reid_gen.body.estimate.estimator import RegressorEstimator
    from reid_gen.builders.saved_run import open_run
    from reid_gen.report.app import turns

    return partial(turns, open_run(run).renderer, RegressorEstimator())
