"""Inputs are there, outputs are not, and no two of them are one, before a command does work."""

import ast
import re
from pathlib import Path

import click
import numpy as np
import pytest

import reid_gen
from reid_gen.cli.command import STDOUT, Command, Images, Input, Model, Output
from reid_gen.cli.main import main
from reid_gen.cli.results import Results
from reid_gen.files import refuse_existing
from reid_gen.models.weight_files import built_in
from tests.cli.every import COMMANDS, options, word_for

PACKAGE = Path(reid_gen.__file__).parent
OUTPUTS = {
    f"{words} {option.opts[0]}": (words, option)
    for words, command in COMMANDS.items()
    for option in options(command)
    if isinstance(option.type, Output)
}
PAIRS = {
    f"{name} {other.human_readable_name}": (words, output, other)
    for name, (words, output) in OUTPUTS.items()
    for other in COMMANDS[words].params
    if other is not output and isinstance(other.type, Input | Images | Output)
}


def stop(capsys, *words):
    """Exit code and last line of a command that must fail."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return stopped.value.code, capsys.readouterr().err.strip().splitlines()[-1]


def words_with(command: click.Command, values: dict[click.Parameter, str]) -> list[str]:
    """Words of a command with some of its paths; others that it must have are new or missing."""
    words = []
    for each in command.params:
        if each in values or each.required:
            made = new(each.type) if isinstance(each.type, Output) else word_for(each.type)
            value = values.get(each, made)
            words += [value] if isinstance(each, click.Argument) else [each.opts[0], value]
    return words


def new(kind: Output) -> str:
    """A name that a command may make."""
    return f"new{(*kind.endings, '.npz')[0]}"


def has_force(words: str) -> bool:
    return any(option.opts == ["--force"] for option in options(COMMANDS[words]))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", COMMANDS)
def test_command_checks_its_paths(words):
    command = COMMANDS[words]
    assert isinstance(command, Command)
    for each in command.params:
        if isinstance(each.type, click.Path):
            assert isinstance(each.type, Input | Output), f"{each.name} is neither"


@pytest.mark.parametrize(
    "name", [name for name, (_, output) in OUTPUTS.items() if not output.type.resumes]
)
def test_old_output_is_refused_and_force_advised_where_it_is(name, place, capsys):
    words, output = OUTPUTS[name]
    old = place / new(output.type).replace("new", "old")
    old.write_text("mine") if output.type.dir_okay is False else old.mkdir()
    code, message = stop(capsys, *words.split(), *words_with(COMMANDS[words], {output: old.name}))
    advice = "give --force to overwrite it, or" if has_force(words) else "remove it, or choose"
    assert code == 1
    assert message == f"error: {old.name} exists; {advice} another name"
    assert old.exists()


@pytest.mark.parametrize("name", PAIRS)
def test_output_that_is_another_path_is_refused(name, place, capsys):
    words, output, other = PAIRS[name]
    values = {output: "same", other: "./below/../same"}
    code, message = stop(capsys, *words.split(), *words_with(COMMANDS[words], values))
    assert code == 2
    assert "would overwrite" in message
    assert not list(place.iterdir())


def test_output_in_a_folder_of_images_is_refused_if_it_is_a_picture(place, capsys):
    (place / "crops").mkdir()
    (place / "crops" / "a.jpg").write_bytes(b"")
    search = ["search", "--query", "crops/a.jpg", "--gallery", "crops", "--sheet"]
    for sheet in ("crops/ranks.png", "crops/a.jpg"):
        code, message = stop(capsys, *search, sheet, "--force")
        assert code == 2
        assert (
            message
            == (
                f"Error: --sheet {sheet} would overwrite --gallery crops, or become a part of it; "
                "choose another place"
            )
            or "--query crops/a.jpg" in message
        )
    code, message = stop(capsys, "views", "missing", "crops/*.png", "--out", "crops/new.png")
    assert code == 2
    assert "would overwrite IMAGES crops/*.png" in message


def test_search_sheet_that_nobody_named_is_checked_too(place, capsys):
    (place / "a.jpg").write_bytes(b"")
    search = ["search", "--query", "a.jpg", "--gallery"]
    code, message = stop(capsys, *search, ".")
    assert (code, "--sheet ranks.png would overwrite --gallery ." in message) == (2, True)
    (place / "ranks.png").write_bytes(b"mine")
    code, message = stop(capsys, *search, "a.jpg")
    assert code == 1
    assert message == "error: ranks.png exists; give --force to overwrite it, or another name"


def test_folder_that_is_replaced_holds_no_input(place, capsys):
    (place / "models").mkdir()
    (place / "models" / "old.pth").write_bytes(b"")
    code, message = stop(capsys, "zoo", "import", "models/old.pth", "--out", "models", "--force")
    assert (code, "--out models would overwrite FILE models/old.pth" in message) == (2, True)
    assert (place / "models" / "old.pth").is_file()


@pytest.mark.parametrize("words", COMMANDS)
def test_missing_input_is_named_in_one_line(words, place, capsys):
    (place / "resnet10t.rendered").symlink_to(built_in("resnet10t.rendered"))
    inputs = [each for each in COMMANDS[words].params if isinstance(each.type, Input)]
    for each in inputs:
        values = {**dict.fromkeys(inputs, "resnet10t.rendered"), each: "nowhere"}
        code, message = stop(capsys, *words.split(), *words_with(COMMANDS[words], values))
        name = each.opts[0] if isinstance(each, click.Option) else each.human_readable_name
        way_out = "give a run folder" if isinstance(each.type, Model) else f"check {name}"
        assert code == 1
        assert message.startswith(f"error: nowhere does not exist; {way_out}")


def test_refuse_existing_advises_force_only_where_it_is(tmp_path):
    from reid_gen.errors import UserError

    file = tmp_path / "a.csv"
    file.write_text("")
    with pytest.raises(UserError, match="exists; remove it, or choose another name"):
        refuse_existing(file)
    with pytest.raises(UserError, match="exists; give --force to overwrite it, or another name"):
        refuse_existing(file, force=False)
    refuse_existing(file, force=True)


def messages(file: Path):
    """Texts of a module that are no docstrings; what is filled into them is a blank."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    plain = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else " {} "
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and id(node) not in plain | parts:
            yield str(node.value)


def names_of(command: click.Command) -> set[str]:
    return {name for each in command.params for name in each.opts} | {"--help"}


def test_message_names_only_options_that_there_are():
    every = set().union(*map(names_of, COMMANDS.values()))
    named = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
    quoted = re.compile(
        rf"reid-gen ({'|'.join(sorted(COMMANDS, key=len, reverse=True))})\b([^;`]*)"
    )
    faults = []
    for file in sorted(PACKAGE.rglob("*.py")):
        own = {
            name
            for command in COMMANDS.values()
            if command.callback.__module__.endswith(f".cli.{file.stem}")
            for name in names_of(command)
        }
        allowed = own if file.parent.name == "cli" and own else every
        for text in messages(file):
            for words, rest in quoted.findall(text):
                faults += [
                    f"{file.name}: reid-gen {words} has no {name}"
                    for name in named.findall(rest)
                    if name not in names_of(COMMANDS[words])
                ]
            unquoted = quoted.sub("", text)
            faults += [
                f"{file.name}: no {name}: {text}"
                for name in named.findall(unquoted)
                if name not in allowed
            ]
    assert not faults


def test_results_draw_says_what_is_where(tmp_path, capsys):
    sheet = tmp_path / "a.png"
    Results(None).draw(np.zeros((4, 4, 3), np.uint8), sheet, "four people")
    assert capsys.readouterr().out == f"drew four people: {sheet}\n"
    Results(STDOUT).draw(np.zeros((4, 4, 3), np.uint8), sheet, "four people")
    assert capsys.readouterr() == ("", f"drew four people: {sheet}\n")


def test_commands_draw_by_results_alone():
    modules = [file for file in (PACKAGE / "cli").glob("*.py") if file.name != "results.py"]
    assert not [file.name for file in modules if "save_image" in file.read_text()]
