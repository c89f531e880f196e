"""Commands, files and links that the documents name exist."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from reid_gen.cli.main import root
from reid_gen.config.load import load_config, load_settings
from reid_gen.config.pipelines import Groups
from tests.documents.pages import DOCUMENTS, ROOT, commands, name_of, shell_lines, text_of

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


def code(document: Path) -> list[str]:
    """Lines of shell blocks and code spans."""
    prose = text_of(document)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", prose, flags=re.S | re.M))
    return [*shell_lines(prose), *spans]


def words_after(document: Path, program: str) -> list[list[str]]:
    """Words after the program's name, of every command."""
    lines = [line for line in code(document) if program in line]
    return [words[1:] for words in commands(lines) if words[0] == program]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@each_document
def test_make_targets_exist(document):
    given = {word for words in words_after(document, "make") for word in words if "=" not in word}
    assert given <= targets()


@each_document
def test_variables_given_to_make_exist(document):
    given = {word.split("=")[0] for words in words_after(document, "make") for word in words[1:]}
    known = set(re.findall(r"\$\((\w+)\)", (ROOT / "Makefile").read_text()))
    assert {name for name in given if name.isupper()} <= known


@each_document
def test_reid_gen_commands_parse_and_their_settings_load(document):
    for words in words_after(document, "reid-gen"):
        command, rest = root, list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            name = rest.pop(0)
            found = command.get_command(click.Context(command), name)
            assert found is not None, f"reid-gen {shlex.join(words)}: no command {name}"
            command = found
        if isinstance(command, click.Group) or not rest:
            continue
        given = command.make_context(command.name, rest).params
        config = given.get("config") or given.get("file") or given.get("source")
        if config is None or not config.is_relative_to("configs"):
            continue
        if config.is_relative_to("configs/pipelines"):
            load_settings(ROOT / config, Groups)
        else:
            load_config(ROOT / config, given["overrides"])


def missing_configurations(text: str) -> list[str]:
    named = re.findall(r"\bconfigs/[\w./-]+\.yaml", text)
    return [name for name in named if not (ROOT / name).is_file()]


def helps(command: click.Command) -> Iterator[str]:
    """What each command says of itself."""
    yield command.help or ""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from helps(found)


def test_configurations_of_the_examples_of_commands_exist():
    assert not [name for text in helps(root) for name in missing_configurations(text)]


@each_document
def test_configurations_and_linked_files_exist(document):
    assert not missing_configurations(text_of(document))
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text_of(document))
    assert not [link for link in links if not (document.parent / link).exists()]


@each_document
def test_python_files_in_code_spans_exist(document):
    named = {word for line in code(document) for word in re.findall(r"[\w/.]+\.py\b", line)}
    lacking = {name for name in named if not any(c.isupper() for c in name)}
    assert not [
        name
        for name in lacking
        if not any((ROOT / top / name).exists() for top in ("", "reid_gen"))
    ]


TALL = {
    "DBSCAN", "HDBSCAN", "SOLIDER", "SPGAN", "WACVW",
    "ARCHITECTURE", "CHANGELOG", "CONTRIBUTING", "LICENSE", "README",
}  # fmt: skip
"""Acronyms and files."""


@each_document
def test_nothing_was_left_to_be_filled_in(document):
    """Places of numbers that are still to be measured are marked by words in capitals."""
    run = re.sub(r"^```python\n.*?^```", "", text_of(document), flags=re.S | re.M)
    prose = re.sub(r"`[^`\n]+`", "", run)
    assert not set(re.findall(r"\b[A-Z]{5,}\b", prose)) - TALL
    assert not re.findall(r"\b(?:TODO|FIXME|XXX|TBD)\b", prose)


def test_everything_that_the_reference_lists_can_be_imported():
    listed = re.findall(r"^::: (\S+)$", text_of(ROOT / "docs" / "reference.md"), re.MULTILINE)
    assert len(listed) == text_of(ROOT / "docs" / "reference.md").count(":::") > 10
    for name in listed:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, name


def test_the_readme_names_the_main_job_and_the_tests():
    named = {words[0] for words in words_after(ROOT / "README.md", "make") if words}
    assert {"train", "test"} <= named


def every_command(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        yield path
        return
    for name in command.list_commands(click.Context(command)):
        found = command.get_command(click.Context(command), name)
        assert found is not None
        yield from every_command(found, (*path, name))


@pytest.mark.parametrize("path", list(every_command(root)), ids=" ".join)
def test_every_command_has_an_example_that_parses(path):
    command = root
    for name in path:
        command = command.get_command(click.Context(command), name)
    assert command.help is not None
    (example,) = re.findall(r"Example: reid-gen (.*(?:\n.*)*)", command.help)
    words = shlex.split(example)
    assert tuple(words[: len(path)]) == path
    command.make_context(command.name, words[len(path) :])
