"""All commands, and words that each of them accepts up to its outputs, which exist already."""

from collections.abc import Iterator

import click

from reid_gen.cli.command import Images, Input, Output
from reid_gen.cli.main import root


def commands(group: click.Group = root, *names: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that runs, with its words: ``zoo list``."""
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
    return (each for each in command.params if isinstance(each, click.Option))


def least_words(command: click.Command) -> list[str]:
    """What must be given: existing outputs, missing inputs, the first choice, or some text."""
    words: list[str] = []
    for each in command.params:
        if each.required:
            word = word_for(each.type)
            words += [word] if isinstance(each, click.Argument) else [each.opts[0], word]
    return words


def word_for(kind: click.ParamType) -> str:
    """A word for a parameter: an output that exists in :func:`make_outputs`, a missing input."""
    if isinstance(kind, Output):
        return f"file{(*kind.endings, '.npz')[0]}" if kind.file_okay else "folder"
    if isinstance(kind, click.Choice):
        return str(kind.choices[0])
    return "missing" if isinstance(kind, Input | Images) else "text"


def make_outputs(place) -> None:
    """Make what :func:`least_words` names as outputs in a folder."""
    (place / "folder").mkdir()
    for name in ("folder/other", "file.npz", "file.png", "file.onnx"):
        (place / name).write_text("of somebody else")
