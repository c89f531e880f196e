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
    """Return the lines of shell blocks, and the code spans."""
    text = text_of(document)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
    return [*shell_lines(text), *spans]


def words_after(document: Path, program: str) -> list[list[str]]:
    """Return the words after the program's name, for each of its commands."""
    lines = [line for line in code(document) if program in line]
    return [words[1:] for words in commands(lines) if words[0] == program]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@each_document
def test_make_targets_exist(document):
    named = {word for words in words_after(document, "make") for word in words if "=" not in word}
    assert named <= targets()


@each_document
def test_make_variables_exist(document):
    named = {word.split("=")[0] for words in words_after(document, "make") for word in words[1:]}
    defined = set(re.findall(r"\$\((\w+)\)", (ROOT / "Makefile").read_text()))
    assert {name for name in named if name.isupper()} <= defined


@each_document
def test_reid_gen_commands_parse_and_their_settings_load(document):
    for words in words_after(document, "reid-gen"):
        command, rest = root, list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            name = rest.pop(0)
            subcommand = command.get_command(click.Context(command), name)
            assert subcommand is not None, f"reid-gen {shlex.join(words)}: no command {name}"
            command = subcommand
        if isinstance(command, click.Group) or not rest:
            continue
        params = command.make_context(command.name, rest).params
        config = params.get("config") or params.get("file") or params.get("source")
        if config is None or not config.is_relative_to("configs"):
            continue
        if config.is_relative_to("configs/pipelines"):
            load_settings(ROOT / config, Groups)
        else:
            load_config(ROOT / config, params["overrides"])


def missing_configurations(text: str) -> list[str]:
    named = re.findall(r"\bconfigs/[\w./-]+\.yaml", text)
    return [name for name in named if not (ROOT / name).is_file()]


def helps(command: click.Command) -> Iterator[str]:
    """Yield the help text of a command and of its subcommands."""
    yield command.help or ""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            subcommand = command.get_command(click.Context(command), name)
            assert subcommand is not None
            yield from helps(subcommand)


def test_configurations_in_help_texts_exist():
    assert not [name for text in helps(root) for name in missing_configurations(text)]


@each_document
def test_configurations_and_linked_files_exist(document):
    assert not missing_configurations(text_of(document))
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text_of(document))
    assert not [link for link in links if not (document.parent / link).exists()]


@each_document
def test_python_files_in_code_spans_exist(document):
    named = {word for line in code(document) for word in re.findall(r"[\w/.]+\.py\b", line)}
    literal = {name for name in named if not any(c.isupper() for c in name)}
    assert not [
        name
        for name in literal
        if not any((ROOT / top / name).exists() for top in ("", "reid_gen"))
    ]


UPPER_CASE = {
    "DBSCAN", "HDBSCAN", "SBATCH", "SOLIDER", "SPGAN", "WACVW",
    "ARCHITECTURE", "CHANGELOG", "CONTRIBUTING", "LICENSE", "README",
}  # fmt: skip
"""Acronyms and file names."""


@each_document
def test_documents_have_no_placeholders(document):
    """Words in capitals mark figures that are still to be measured."""
    text = re.sub(r"^```python\n.*?^```", "", text_of(document), flags=re.S | re.M)
    prose = re.sub(r"`[^`\n]+`", "", text)
    assert not set(re.findall(r"\b[A-Z]{5,}\b", prose)) - UPPER_CASE
    assert not re.findall(r"\b(?:TODO|FIXME|XXX|TBD)\b", prose)


def test_api_reference_lists_importable_names():
    listed = re.findall(r"^::: (\S+)$", text_of(ROOT / "docs" / "reference.md"), re.MULTILINE)
    assert len(listed) == text_of(ROOT / "docs" / "reference.md").count(":::") > 10
    for name in listed:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, name


def test_readme_names_the_train_and_test_targets():
    named = {words[0] for words in words_after(ROOT / "README.md", "make") if words}
    assert {"train", "test"} <= named


def every_command(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        yield path
        return
    for name in command.list_commands(click.Context(command)):
        subcommand = command.get_command(click.Context(command), name)
        assert subcommand is not None
        yield from every_command(subcommand, (*path, name))


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
