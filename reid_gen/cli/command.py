"""What all commands check of their paths before their own code runs, and so before torch loads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import click

from reid_gen.errors import UserError
from reid_gen.files import exists, is_file, refuse_existing
from reid_gen.models.weight_files import checkpoint_folder

STDOUT = Path("-")
PICTURES = (".png", ".jpg")
FORCED = "reid_gen.force"

Function = TypeVar("Function", bound=Callable[..., Any])


class UserPath(click.Path):
    """A path; a shell leaves ``~`` as it is in ``--out=~/x`` and in quotes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a path, with ``~`` replaced by the home folder."""
        path = Path(str(super().convert(value, param, ctx)))
        return path.expanduser() if path.parts[:1] == ("~",) else path


class Input(UserPath):
    """A file or folder that must be there."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def refuse_missing(self, path: Path, option: str) -> None:
        """Stop if there is no such path.

        Raises:
            UserError: If so.
        """
        if not exists(path):
            raise UserError(f"{path} does not exist; check {option}")


class Model(Input):
    """A run, a checkpoint, a name of the zoo, or a file."""

    def refuse_missing(self, path: Path, option: str) -> None:
        """Stop if there is no such file, and no checkpoint of such a path or name.

        Raises:
            UserError: If so.
        """
        if not is_file(path):
            checkpoint_folder(path)


class Images(click.ParamType):  # type: ignore[type-arg]
    """Images: folder, file, glob or ``@list``, as text."""

    name = "images"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Replace ``~`` by the home folder."""
        return re.sub(r"^(@?)~(?=/|$)", rf"\1{Path.home()}", str(value))


class Output(UserPath):
    """A file or folder that the command makes.

    Args:
        endings: Of its name, in lower case; none allows all.
        folder: Whether it is a folder.
        resumes: Whether a folder that exists is continued and not replaced.
        maker: Command that makes a folder; its --force replaces what it made and nothing else.
    """

    def __init__(
        self,
        *,
        endings: Sequence[str] = (),
        folder: bool = False,
        resumes: bool = False,
        maker: str | None = None,
    ) -> None:
        super().__init__(path_type=Path, file_okay=not folder, dir_okay=folder)
        self.endings = tuple(endings)
        self.resumes = resumes
        self.maker = maker


class Command(click.Command):
    """Checks outputs, then that inputs are there, then runs."""

    def invoke(self, ctx: click.Context) -> Any:
        """Check the paths, then run the command."""
        paths = list(_paths(ctx))
        for kind, option, path in paths:
            if isinstance(kind, Output):
                check_output(kind, option, path)
        for kind, option, path in paths:
            if isinstance(kind, Input):
                kind.refuse_missing(path, option)
        return super().invoke(ctx)


class Group(click.Group):
    """Commands below one name, with the same checks."""

    command_class = Command


def force_option(text: str) -> Callable[[Function], Function]:
    """``--force``, which :func:`check_output` obeys."""
    return click.option("--force", is_flag=True, expose_value=False, callback=_remember, help=text)


def _remember(ctx: click.Context, _: click.Parameter, force: bool) -> None:
    ctx.meta[FORCED] = force


def check_output(kind: Output, option: str, target: Path) -> None:
    """Stop the running command before any work if it must not write an output.

    Args:
        kind: What the output is.
        option: That names it.
        target: Where it will lie.

    Raises:
        UsageError: If another output, an input or one of the images to read lies there.
        UserError: If its name ends otherwise, or it exists and --force is not given.
    """
    ctx = click.get_current_context()
    for other_kind, other, path in _paths(ctx):
        if other != option and _clash(kind, target, other_kind, path):
            raise click.UsageError(
                f"{option} {target} would overwrite {other} {path}, or become a part of it; choose "
                "another place",
                ctx,
            )
    if kind.endings and target.suffix.lower() not in kind.endings:
        raise UserError(f"{target} must end in {' or '.join(kind.endings)}")
    if not kind.resumes:
        refuse_existing(target, ctx.meta.get(FORCED), kind.maker)


def _paths(ctx: click.Context) -> Iterator[tuple[click.ParamType[Any], str, Any]]:
    """Type, name and value of every path and source of images that a command is given."""
    for parameter in ctx.command.params:
        values: Any = ctx.params.get(str(parameter.name))
        several = parameter.nargs == -1 or parameter.multiple
        is_option = isinstance(parameter, click.Option)
        name = parameter.opts[0] if is_option else parameter.human_readable_name
        for value in values if several else [values]:
            known = isinstance(parameter.type, Input | Images | Output)
            if known and value not in (None, STDOUT):
                yield parameter.type, name, value


def _clash(kind: Output, target: Path, other_kind: click.ParamType[Any], other: Path | str) -> bool:
    """Whether writing an output changes another path of the command."""
    target = target.resolve()
    if isinstance(other_kind, Images):
        return _is_among(target, str(other))
    path = Path(other).resolve()
    inside = path.is_relative_to(target) and not kind.resumes
    return target == path or inside


def _is_among(target: Path, images: str) -> bool:
    """Whether a file is, or would be taken for, one of the images."""
    source = Path(images.removeprefix("@")).resolve()
    if source.is_dir():
        return target.is_relative_to(source) and target.suffix.lower() in PICTURES
    return target == source or fnmatch(str(target), str(source))
