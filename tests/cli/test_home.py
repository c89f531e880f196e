"""A path that begins with ~ means the same in every command."""

from pathlib import Path

import click
import pytest

from reid_gen.cli.command import Images, UserPath
from reid_gen.cli.main import root
from reid_gen.cli.options import IMAGES, INPUT


def parameters(command, words=()):
    """Words and parameters of every command below one."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from parameters(command.get_command(context, name), (*words, name))
    else:
        yield from ((" ".join(words), parameter) for parameter in command.params)


def test_every_path_of_every_command_is_of_the_shared_type():
    found = list(parameters(root))
    paths = [(words, p) for words, p in found if isinstance(p.type, click.Path)]
    assert len(paths) > 30
    for words, parameter in paths:
        assert isinstance(parameter.type, UserPath), f"{words}: {parameter.name}"
    for words, parameter in found:
        if parameter.name in ("images", "query", "gallery"):
            assert isinstance(parameter.type, Images | UserPath), f"{words}: {parameter.name}"


@pytest.mark.parametrize("word", ["~", "~/x/y.txt"])
def test_path_expands_home(word, monkeypatch):
    monkeypatch.setenv("HOME", "/people/somebody")
    assert INPUT.convert(word, None, None) == Path("/people/somebody", *word.split("/")[1:])


@pytest.mark.parametrize("word", ["~nobody/x", "a/~/x", "-", "~x"])
def test_path_leaves_other_words(word):
    assert INPUT.convert(word, None, None) == Path(word)
    assert IMAGES.convert(word, None, None) == word


def test_images_expand_home_in_lists_too(monkeypatch):
    monkeypatch.setenv("HOME", "/people/somebody")
    assert IMAGES.convert("~/a/*.jpg", None, None) == "/people/somebody/a/*.jpg"
    assert IMAGES.convert("@~/list", None, None) == "@/people/somebody/list"
