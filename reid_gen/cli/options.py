"""Types of numbers and paths, and options that several commands have."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click

from reid_gen import limits
from reid_gen.cli.command import PICTURES, Images, Input, Model, Output, force_option


class Number(click.FloatRange):
    """A number within a range; nan is in none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number.

        Raises:
            BadParameter: If it is none, or out of range.
        """
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


class Angles(click.ParamType):  # type: ignore[type-arg]
    """Angles in degrees with commas between them."""

    name = "degrees"
    most = 72
    turn = Number(-360, 360)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Read the angles.

        Raises:
            BadParameter: If one is no number from -360 to 360, or there are too many.
        """
        if isinstance(value, tuple):
            return value
        words = str(value).split(",")
        if len(words) > self.most:
            self.fail(f"{len(words)} angles; give at most {self.most}.", param, ctx)
        return tuple(self.turn.convert(word, param, ctx) for word in words)


class Fraction(click.ParamType):  # type: ignore[type-arg]
    """``i/n``, the i-th of n shares, as (i - 1, n)."""

    name = "i/n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Read the share.

        Raises:
            BadParameter: If it is none.
        """
        if isinstance(value, tuple):
            return value
        words = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", value)
        if words is None or not 1 <= int(words[1]) <= int(words[2]):
            self.fail(
                f"{value}: give i/n with i from 1 to n, such as 2/4, n at most 9999.", param, ctx
            )
        return int(words[1]) - 1, int(words[2])


INPUT, MODEL_PATH, IMAGES = Input(), Model(), Images()
FILE = Output()
FOLDER = Output(folder=True)
RESUMED = Output(folder=True, resumes=True)
PICTURE = Output(endings=PICTURES)

ANGLES, SHARD = Angles(), Fraction()
SEED_RANGE = click.IntRange(*limits.SEED)
SIDE_RANGE = click.IntRange(*limits.SIDE)
BATCH_RANGE = click.IntRange(*limits.BATCH)
THREAD_RANGE = click.IntRange(*limits.THREADS)
COUNT_RANGE = click.IntRange(*limits.COUNT)
MEMBER_RANGE = click.IntRange(*limits.MEMBERS)
NEIGHBOUR_RANGE = click.IntRange(*limits.NEIGHBOURS)
SHARE_RANGE = Number(0, 1)
OPEN_SHARE_RANGE = Number(0, 1, min_open=True, max_open=True)

BUILT_IN = "resnet10t.rendered"
"""What encodes images where no model is given."""

JSON = click.option(
    "--json",
    "output",
    type=FILE,
    help="Write what was found here, as JSON; - is stdout, and text then goes to stderr.",
)
FORCE = force_option("Overwrite outputs that exist.")
FILES_FORCE = force_option("Overwrite files that exist; the folder of --out is continued.")
"""For commands that go on with what they made before."""
KEEP_SAME_IMAGE = click.option(
    "--keep-same-image",
    is_flag=True,
    help="Let a query find its own image in the gallery, which is left out by default.",
)
RASTERISER = click.option(
    "--rasteriser",
    type=click.Choice(["numba", "torch", "pytorch3d"]),
    help="What draws bodies; by default that of the run's settings, or numba.",
)
MODEL = click.option(
    "--model",
    type=MODEL_PATH,
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


def note_same_images(count: int) -> None:
    """Say on stderr how often a query's own image was left out, if it was."""
    if count:
        click.echo(
            f"note: the gallery holds a query's own image {count} times, which is left out; "
            "--keep-same-image keeps it",
            err=True,
        )
