"""Checks of paths before a command runs: missing inputs, existing and colliding outputs."""

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
from reid_gen.files import check_overwrite
from reid_gen.models.weight_files import built_in
from tests.cli.every import COMMANDS, options, value_for

PACKAGE = Path(reid_gen.__file__).parent
OUTPUTS = {
    f"{name} {option.opts[0]}": (name, option)
    for name, command in COMMANDS.items()
    for option in options(command)
    if isinstance(option.type, Output)
}
PAIRS = {
    f"{name} {other.human_readable_name}": (command, output, other)
    for name, (command, output) in OUTPUTS.items()
    for other in COMMANDS[command].params
    if other is not output and isinstance(other.type, Input | Images | Output)
}


def run_failing(capsys, *words):
    """Return exit code and last line of stderr of a command that must fail."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as error:
        main([str(word) for word in words])
    return error.value.code, capsys.readouterr().err.strip().splitlines()[-1]


def arguments_with(command: click.Command, values: dict[click.Parameter, str]) -> list[str]:
    """Return arguments with given values; other required outputs are new, inputs missing."""
    arguments = []
    for param in command.params:
        if param in values or param.required:
            is_output = isinstance(param.type, Output)
            default = new_output(param.type) if is_output else value_for(param.type)
            value = values.get(param, default)
            is_argument = isinstance(param, click.Argument)
            arguments += [value] if is_argument else [param.opts[0], value]
    return arguments


def new_output(output_type: Output) -> str:
    """Return the name of an output that does not exist."""
    return f"new{(*output_type.suffixes, '.npz')[0]}"


def has_force(name: str) -> bool:
    return any(option.opts == ["--force"] for option in options(COMMANDS[name]))


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_command_checks_its_paths(name):
    command = COMMANDS[name]
    assert isinstance(command, Command)
    for param in command.params:
        if isinstance(param.type, click.Path):
            assert isinstance(param.type, Input | Output), f"{param.name} is neither"


@pytest.mark.parametrize(
    "name", [name for name, (_, output) in OUTPUTS.items() if not output.type.resumable]
)
def test_existing_output_error_suggests_force_if_available(name, workdir, capsys):
    command, output = OUTPUTS[name]
    old = workdir / new_output(output.type).replace("new", "old")
    old.write_text("existing") if output.type.dir_okay is False else old.mkdir()
    code, message = run_failing(
        capsys, *command.split(), *arguments_with(COMMANDS[command], {output: old.name})
    )
    advice = "give --force to overwrite it, or" if has_force(command) else "remove it, or choose"
    assert code == 1
    assert message == f"error: {old.name} exists; {advice} another name"
    assert old.exists()


@pytest.mark.parametrize("name", PAIRS)
def test_output_equal_to_another_path_is_refused(name, workdir, capsys):
    command, output, other = PAIRS[name]
    values = {output: "same", other: "./below/../same"}
    code, message = run_failing(
        capsys, *command.split(), *arguments_with(COMMANDS[command], values)
    )
    assert code == 2
    assert "would overwrite" in message
    assert not list(workdir.iterdir())


def test_output_image_in_a_folder_of_input_images_is_refused(workdir, capsys):
    (workdir / "crops").mkdir()
    (workdir / "crops" / "a.jpg").write_bytes(b"")
    search = ["search", "--query", "crops/a.jpg", "--gallery", "crops", "--sheet"]
    for sheet in ("crops/ranks.png", "crops/a.jpg"):
        code, message = run_failing(capsys, *search, sheet, "--force")
        assert code == 2
        assert (
            message
            == (
                f"Error: --sheet {sheet} would overwrite --gallery crops, or become a part of it; "
                "choose another path"
            )
            or "--query crops/a.jpg" in message
        )
    code, message = run_failing(capsys, "views", "missing", "crops/*.png", "--out", "crops/new.png")
    assert code == 2
    assert "would overwrite IMAGES crops/*.png" in message


def test_search_checks_its_default_sheet(workdir, capsys):
    (workdir / "a.jpg").write_bytes(b"")
    search = ["search", "--query", "a.jpg", "--gallery"]
    code, message = run_failing(capsys, *search, ".")
    assert (code, "--sheet ranks.png would overwrite --gallery ." in message) == (2, True)
    (workdir / "ranks.png").write_bytes(b"existing")
    code, message = run_failing(capsys, *search, "a.jpg")
    assert code == 1
    assert message == "error: ranks.png exists; give --force to overwrite it, or another name"


def test_output_folder_with_an_input_is_not_replaced(workdir, capsys):
    (workdir / "models").mkdir()
    (workdir / "models" / "old.pth").write_bytes(b"")
    code, message = run_failing(
        capsys, "zoo", "import", "models/old.pth", "--out", "models", "--force"
    )
    assert (code, "--out models would overwrite FILE models/old.pth" in message) == (2, True)
    assert (workdir / "models" / "old.pth").is_file()


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_input_is_named_in_one_line(command, workdir, capsys):
    (workdir / "resnet10t.rendered").symlink_to(built_in("resnet10t.rendered"))
    inputs = [param for param in COMMANDS[command].params if isinstance(param.type, Input)]
    for param in inputs:
        values = {**dict.fromkeys(inputs, "resnet10t.rendered"), param: "nowhere"}
        arguments = arguments_with(COMMANDS[command], values)
        code, message = run_failing(capsys, *command.split(), *arguments)
        name = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
        way_out = "give a run folder" if isinstance(param.type, Model) else f"check {name}"
        assert code == 1
        assert message.startswith(f"error: nowhere does not exist; {way_out}")


def test_check_overwrite_suggests_force_only_if_available(tmp_path):
    from reid_gen.errors import UserError

    file = tmp_path / "a.csv"
    file.write_text("")
    with pytest.raises(UserError, match="exists; remove it, or choose another name"):
        check_overwrite(file)
    with pytest.raises(UserError, match="exists; give --force to overwrite it, or another name"):
        check_overwrite(file, force=False)
    check_overwrite(file, force=True)


def messages(file: Path):
    """Yield the strings of a module except docstrings; fields of f-strings become ``{}``."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
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
        elif isinstance(node, ast.Constant) and id(node) not in docstrings | parts:
            yield str(node.value)


def option_names(command: click.Command) -> set[str]:
    return {name for param in command.params for name in param.opts} | {"--help"}


def test_messages_name_only_existing_options():
    all_names = set().union(*map(option_names, COMMANDS.values()))
    option = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
    command_line = re.compile(
        rf"reid-gen ({'|'.join(sorted(COMMANDS, key=len, reverse=True))})\b([^;`]*)"
    )
    errors = []
    for file in sorted(PACKAGE.rglob("*.py")):
        module_names = {
            name
            for command in COMMANDS.values()
            if command.callback.__module__.endswith(f".cli.{file.stem}")
            for name in option_names(command)
        }
        is_command = file.parent.name == "cli" and module_names
        allowed = module_names if is_command else all_names
        for text in messages(file):
            for command, rest in command_line.findall(text):
                errors += [
                    f"{file.name}: reid-gen {command} has no {name}"
                    for name in option.findall(rest)
                    if name not in option_names(COMMANDS[command])
                ]
            outside = command_line.sub("", text)
            errors += [
                f"{file.name}: no {name}: {text}"
                for name in option.findall(outside)
                if name not in allowed
            ]
    assert not errors


def test_results_write_image_prints_content_and_path(tmp_path, capsys):
    sheet = tmp_path / "a.png"
    Results(None).write_image(np.zeros((4, 4, 3), np.uint8), sheet, "four people")
    assert capsys.readouterr().out == f"wrote four people: {sheet}\n"
    Results(STDOUT).write_image(np.zeros((4, 4, 3), np.uint8), sheet, "four people")
    assert capsys.readouterr() == ("", f"wrote four people: {sheet}\n")


def test_commands_write_images_only_by_results():
    modules = [file for file in (PACKAGE / "cli").glob("*.py") if file.name != "results.py"]
    assert not [file.name for file in modules if "save_image" in file.read_text()]
