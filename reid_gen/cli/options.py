"""Options that several commands have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click


class _Path(click.Path):
    """A path; a shell leaves ``~`` as it is in ``--out=~/x`` and in quotes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(str(super().convert(value, param, ctx)))
        return path.expanduser() if path.parts[:1] == ("~",) else path


class _Images(click.ParamType):  # type: ignore[type-arg]
    """Images: folder, file, glob or ``@list``, as text."""

    name = "images"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return re.sub(r"^(@?)~(?=/|$)", rf"\1{Path.home()}", str(value))


PATH = _Path(path_type=Path)
IMAGES = _Images()
BUILT_IN = "resnet10t.rendered"
"""What encodes images where no model is given."""

JSON = click.option(
    "--json",
    "output",
    type=PATH,
    help="Write what was found here, as JSON; - is stdout, and text then goes to stderr.",
)
FORCE = click.option("--force", is_flag=True, help="Overwrite outputs that exist.")
JSON_FORCE = click.option("--force", is_flag=True, help="Overwrite the file given with --json.")
"""For commands that go on with what they made before."""
MODEL = click.option(
    "--model",
    type=PATH,
    help="Run folder, checkpoint, exported .onnx, or a name of `reid-gen zoo list`; by "
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
