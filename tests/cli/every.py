"""All commands, and minimal arguments of each, whose outputs exist already."""

from collections.abc import Iterator

import click

from reid_gen.cli.command import Images, Input, Output
from reid_gen.cli.main import root


def commands(group: click.Group = root, *names: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is not a group with its full name, such as ``zoo list``."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield " ".join([*names, name]), command


COMMANDS = dict(commands())


def options(command: click.Command) -> Iterator[click.Option]:
    return (param for param in command.params if isinstance(param, click.Option))


def minimal_arguments(command: click.Command) -> list[str]:
    """Return values of all required parameters; see :func:`value_for`."""
    arguments: list[str] = []
    for param in command.params:
        if param.required:
            value = value_for(param.type)
            is_argument = isinstance(param, click.Argument)
            arguments += [value] if is_argument else [param.opts[0], value]
    return arguments


def value_for(param_type: click.ParamType) -> str:
    """Return an output of :func:`make_outputs`, a missing input, the first choice, or text."""
    if isinstance(param_type, Output):
        return f"file{(*param_type.suffixes, '.npz')[0]}" if param_type.file_okay else "folder"
    if isinstance(param_type, click.Choice):
        return str(param_type.choices[0])
    return "missing" if isinstance(param_type, Input | Images) else "text"


def make_outputs(folder) -> None:
    """Create the outputs that :func:`minimal_arguments` names."""
    (folder / "folder").mkdir()
    for name in ("folder/other", "file.npz", "file.png", "file.onnx"):
        (folder / name).write_text("existing file")
