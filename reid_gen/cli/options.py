"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
BUILT_IN = "resnet10t.rendered"
"""What encodes images where no model is given."""

JSON = click.option(
    "--json",
    "output",
    type=PATH,
    help="Write what was found here, as JSON; - is stdout, and text then goes to stderr.",
)
KEEP_SAME_IMAGE = click.option(
    "--keep-same-image",
    is_flag=True,
    help="Let a query find its own image in the gallery, which is left out by default.",
)
FORCE = click.option("--force", is_flag=True, help="Overwrite outputs that exist.")
JSON_FORCE = click.option("--force", is_flag=True, help="Overwrite the file given with --json.")
"""For commands that go on with what they made before."""
MODEL = click.option(
    "--model",
    type=PATH,
    help="Run folder, checkpoint, exported .onnx or .pt2, or a name of `reid-gen zoo list`; by "
    f"default {BUILT_IN}, which has seen rendered people only.",
)


def chosen_model(model: Path | None) -> Path:
    """The model of ``--model``, or the built-in one, with a note on stderr."""
    if model is not None:
        return model
    click.echo(
        f"note: no --model was given, so {BUILT_IN} is taken, which has seen rendered people only",
        err=True,
    )
    return Path(BUILT_IN)


def note_same_images(count: int) -> None:
    """Say on stderr how often a query's own image was left out, if it was."""
    if count:
        click.echo(
            f"note: the gallery holds a query's own image {count} times, which is left out; "
            "--keep-same-image keeps it",
            err=True,
        )
