"""Path types of options, and checks of all paths before a command runs.

The checks import no torch, so that wrong paths are reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import click

from reid_gen.errors import UserError
from reid_gen.files import check_overwrite, exists, is_file
from reid_gen.models.weight_files import checkpoint_folder

STDOUT = Path("-")
IMAGE_SUFFIXES = (".png", ".jpg")
FORCE_KEY = "reid_gen.force"
"""Key of ``--force`` in click's ``Context.meta``."""

Function = TypeVar("Function", bound=Callable[..., Any])


class UserPath(click.Path):
    """Path with ``~`` expanded, which a shell does not do in ``--out=~/x`` and in quotes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse a path and expand ``~``."""
        path = Path(str(super().convert(value, param, ctx)))
        return path.expanduser() if path.parts[:1] == ("~",) else path


class Input(UserPath):
    """Path of an existing file or folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def check_exists(self, path: Path, option: str) -> None:
        """Check that a path exists.

        Raises:
            UserError: If it does not exist.
        """
        if not exists(path):
            raise UserError(f"{path} does not exist; check {option}")


class Model(Input):
    """Run folder, checkpoint folder, model zoo name, or file."""

    def check_exists(self, path: Path, option: str) -> None:
        """Check that a file, a checkpoint folder or a model zoo entry exists.

        Raises:
            UserError: If none exists.
        """
        if not is_file(path):
            checkpoint_folder(path)


class Images(click.ParamType):  # type: ignore[type-arg]
    """Source of images: folder, file, glob or ``@list``, kept as a string."""

    name = "images"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Expand ``~``."""
        return re.sub(r"^(@?)~(?=/|$)", rf"\1{Path.home()}", str(value))


class Output(UserPath):
    """Path of a file or folder that the command writes.

    Args:
        suffixes: Allowed file name suffixes in lower case; empty allows all.
        folder: Whether it is a folder.
        resumable: Whether an existing folder is continued instead of replaced.
        command: Command that writes the folder; its --force replaces only folders that it wrote.
    """

    def __init__(
        self,
        *,
        suffixes: Sequence[str] = (),
        folder: bool = False,
        resumable: bool = False,
        command: str | None = None,
    ) -> None:
        super().__init__(path_type=Path, file_okay=not folder, dir_okay=folder)
        self.suffixes = tuple(suffixes)
        self.resumable = resumable
        self.command = command


class Command(click.Command):
    """Command that checks its outputs, then its inputs, before it runs."""

    def invoke(self, ctx: click.Context) -> Any:
        """Check the paths, then run the command."""
        paths = list(_paths(ctx))
        for path_type, option, path in paths:
            if isinstance(path_type, Output):
                check_output(path_type, option, path)
        for path_type, option, path in paths:
            if isinstance(path_type, Input):
                path_type.check_exists(path, option)
        return super().invoke(ctx)


class Group(click.Group):
    """Group of commands with the same checks."""

    command_class = Command


def force_option(text: str) -> Callable[[Function], Function]:
    """Create ``--force``, which :func:`check_output` reads."""
    return click.option(
        "--force", is_flag=True, expose_value=False, callback=_store_force, help=text
    )


def _store_force(ctx: click.Context, _: click.Parameter, force: bool) -> None:
    ctx.meta[FORCE_KEY] = force


def check_output(path_type: Output, option: str, target: Path) -> None:
    """Check before any work that the running command may write an output.

    Args:
        path_type: Type of the output.
        option: Option that names the output.
        target: Path of the output.

    Raises:
        UsageError: If the path is that of another output, of an input or of an image to read.
        UserError: If the suffix is not allowed, or the path exists and --force is not given.
    """
    ctx = click.get_current_context()
    for other_type, other, path in _paths(ctx):
        if other != option and _collides(path_type, target, other_type, path):
            raise click.UsageError(
                f"{option} {target} would overwrite {other} {path}, or become a part of it; choose "
                "another path",
                ctx,
            )
    if path_type.suffixes and target.suffix.lower() not in path_type.suffixes:
        raise UserError(f"{target} must end in {' or '.join(path_type.suffixes)}")
    if not path_type.resumable:
        check_overwrite(target, ctx.meta.get(FORCE_KEY), path_type.command)


def _paths(ctx: click.Context) -> Iterator[tuple[click.ParamType[Any], str, Any]]:
    """Yield type, option and value of every path and source of images on the command line."""
    for parameter in ctx.command.params:
        value: Any = ctx.params.get(str(parameter.name))
        has_many = parameter.nargs == -1 or parameter.multiple
        is_option = isinstance(parameter, click.Option)
        name = parameter.opts[0] if is_option else parameter.human_readable_name
        for path in value if has_many else [value]:
            is_path = isinstance(parameter.type, Input | Images | Output)
            if is_path and path not in (None, STDOUT):
                yield parameter.type, name, path


def _collides(
    path_type: Output, target: Path, other_type: click.ParamType[Any], other: Path | str
) -> bool:
    """Whether writing an output would change another path of the command."""
    target = target.resolve()
    if isinstance(other_type, Images):
        return _is_among_images(target, str(other))
    path = Path(other).resolve()
    replaces_parent = path.is_relative_to(target) and not path_type.resumable
    return target == path or replaces_parent


def _is_among_images(target: Path, images: str) -> bool:
    """Whether a file is, or once written would be, one of the images of a source."""
    source = Path(images.removeprefix("@")).resolve()
    if source.is_dir():
        return target.is_relative_to(source) and target.suffix.lower() in IMAGE_SUFFIXES
    return target == source or fnmatch(str(target), str(source))
