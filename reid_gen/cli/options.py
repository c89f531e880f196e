"""Number and path types of options, and options that several commands share."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, get_args

import click

from reid_gen import limits
from reid_gen.choices import EngineName, RasteriserName
from reid_gen.cli.command import IMAGE_SUFFIXES, Images, Input, Model, Output, force_option


class Number(click.FloatRange):
    """Float within a range; NaN is refused."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse a number.

        Raises:
            BadParameter: If it is not a number or out of range.
        """
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


class Angles(click.ParamType):  # type: ignore[type-arg]
    """Comma-separated angles in degrees."""

    name = "degrees"
    max_count = 72
    angle = Number(-360, 360)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Parse the angles.

        Raises:
            BadParameter: If one is not a number from -360 to 360, or there are too many.
        """
        if isinstance(value, tuple):
            return value
        words = str(value).split(",")
        if len(words) > self.max_count:
            self.fail(f"{len(words)} angles; give at most {self.max_count}.", param, ctx)
        return tuple(self.angle.convert(word, param, ctx) for word in words)


class Shard(click.ParamType):  # type: ignore[type-arg]
    """``i/n``, the i-th of n shards, parsed as (i - 1, n)."""

    name = "i/n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Parse the shard.

        Raises:
            BadParameter: If it is not ``i/n`` with i from 1 to n.
        """
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", value)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            self.fail(
                f"{value}: give i/n with i from 1 to n, such as 2/4, n at most 9999.", param, ctx
            )
        return int(match[1]) - 1, int(match[2])


INPUT, MODEL_PATH, IMAGES = Input(), Model(), Images()
FILE = Output()
FOLDER = Output(folder=True)
RESUMABLE_FOLDER = Output(folder=True, resumable=True)
IMAGE_FILE = Output(suffixes=IMAGE_SUFFIXES)

ANGLES = Angles()
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
"""Model that is used if none is given."""

SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY.PATH=VALUE",
    help="Setting that overrides the configuration; may be repeated.",
)
SEED = click.option("--seed", type=SEED_RANGE, default=1, show_default=True, help="Random seed.")
FLIP = click.option(
    "--flip", is_flag=True, help="Average features with those of the horizontally flipped image."
)
JSON = click.option(
    "--json",
    "output",
    type=FILE,
    help="JSON file for the results; - writes JSON to stdout and text to stderr.",
)
ENGINE = click.option(
    "--engine",
    type=click.Choice(get_args(EngineName)),
    default="local",
    show_default=True,
    help="Where to compute: in this process, or by Ray actors, on the cluster at RAY_ADDRESS or on "
    "this machine.",
)
ACTORS = click.option(
    "--actors",
    type=click.IntRange(*limits.ACTORS),
    help="Number of Ray actors (default: one per GPU, or per 4 CPU cores).",
)
SHARD = click.option(
    "--shard",
    type=Shard(),
    help="Shard of the images to compute: the i-th of n, written beside --out; `reid-gen merge` "
    "joins all.",
)
FORCE = force_option("Overwrite existing outputs.")
FILES_FORCE = force_option("Overwrite existing files; the --out folder is continued, not replaced.")
"""For commands that resume a folder."""
KEEP_SAME_IMAGE = click.option(
    "--keep-same-image",
    is_flag=True,
    help="Keep a query's own image in the gallery (default: ignored).",
)
RASTERISER = click.option(
    "--rasteriser",
    type=click.Choice(get_args(RasteriserName)),
    help="Rasteriser of bodies (default: the run's, or numba).",
)
MODEL = click.option(
    "--model",
    type=MODEL_PATH,
    help="Run folder, checkpoint, exported .onnx file, or name from `reid-gen zoo list` (default: "
    f"{BUILT_IN}, trained on rendered people only).",
)


def model_or_default(model: Path | None) -> Path:
    """Return the model of ``--model``, or the built-in one with a note on stderr."""
    if model is not None:
        return model
    click.echo(
        f"note: no --model given, using {BUILT_IN}, which was trained on rendered people only",
        err=True,
    )
    return Path(BUILT_IN)


def note_same_images(count: int) -> None:
    """Note on stderr how often a query's own image was ignored in the gallery, if at all."""
    if count:
        click.echo(
            f"note: the gallery contains a query's own image {count} times, which is ignored; "
            "--keep-same-image keeps it",
            err=True,
        )
