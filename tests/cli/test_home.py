"""Expansion of ~ in the paths of every command."""

from pathlib import Path

import click
import pytest

from reid_gen.cli.command import Images, UserPath
from reid_gen.cli.main import root
from reid_gen.cli.options import IMAGES, INPUT


def parameters(command, names=()):
    """Yield command and parameter of every command below a group."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from parameters(command.get_command(context, name), (*names, name))
    else:
        yield from ((" ".join(names), parameter) for parameter in command.params)


def test_commands_use_the_shared_path_types():
    all_parameters = list(parameters(root))
    paths = [(name, p) for name, p in all_parameters if isinstance(p.type, click.Path)]
    assert len(paths) > 30
    for name, parameter in paths:
        assert isinstance(parameter.type, UserPath), f"{name}: {parameter.name}"
    for name, parameter in all_parameters:
        if parameter.name in ("images", "query", "gallery"):
            assert isinstance(parameter.type, Images | UserPath), f"{name}: {parameter.name}"


@pytest.mark.parametrize("word", ["~", "~/x/y.txt"])
def test_path_expands_home(word, monkeypatch):
    monkeypatch.setenv("HOME", "/people/somebody")
    assert INPUT.convert(word, None, None) == Path("/people/somebody", *word.split("/")[1:])


@pytest.mark.parametrize("word", ["~nobody/x", "a/~/x", "-", "~x"])
def test_path_keeps_other_tildes(word):
    assert INPUT.convert(word, None, None) == Path(word)
    assert IMAGES.convert(word, None, None) == word


def test_images_expand_home_in_globs_and_lists(monkeypatch):
    monkeypatch.setenv("HOME", "/people/somebody")
    assert IMAGES.convert("~/a/*.jpg", None, None) == "/people/somebody/a/*.jpg"
    assert IMAGES.convert("@~/list", None, None) == "@/people/somebody/list"
