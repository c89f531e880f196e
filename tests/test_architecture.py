"""What no single module can hold: layers, sizes, docstrings, start-up, and the form of the tree."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reid_gen.config.load import load_config

ROOT = Path(__file__).parent.parent
FOLDERS = ("reid_gen", "tests", "tools", "benchmarks")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MOST_LINES = 300
MOST_LINES_IN_A_FUNCTION = 60
ALLOWED_TO_BE_LONG: dict[str, str] = {}
"""``path`` or ``path:function`` -> the reason."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[Function]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_imports_keep_to_the_layers():
    program = "from importlinter.cli import lint_imports_command as c; c(['--no-cache'])"
    found = run(sys.executable, "-c", program)
    assert found.returncode == 0, found.stdout + found.stderr


def test_files_are_short():
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert not [
        f"{name}: {length} lines"
        for name, length in lengths.items()
        if length > MOST_LINES and name not in ALLOWED_TO_BE_LONG
    ]


def test_functions_are_short():
    lengths = {
        f"{name_of(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in SOURCES
        for node in functions(path)
    }
    assert not [
        f"{name}: {length} lines"
        for name, length in lengths.items()
        if length > MOST_LINES_IN_A_FUNCTION and name not in ALLOWED_TO_BE_LONG
    ]


def test_no_module_is_named_for_nothing():
    names = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}
    assert not [name_of(path) for path in SOURCES if path.name in names]


def test_help_is_shown_without_loading_heavy_libraries():
    program = """
import sys
import click
from reid_gen.cli.main import main, root
def walk(command, path):
    main([*path, "--help"])
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            walk(command.get_command(context, name), [*path, name])
walk(root, [])
heavy = {"torch", "torchvision", "timm", "numpy", "scipy", "sklearn", "numba", "faiss", "pydantic"}
loaded = sorted(heavy & set(sys.modules))
sys.exit(f"loaded: {loaded}" if loaded else 0)
"""
    shown = run(sys.executable, "-c", program)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("Usage: reid-gen ")
    assert "Usage: reid-gen zoo list" in shown.stdout


def imported_at_start(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def test_cli_modules_do_not_import_torch_when_they_are_loaded():
    modules = sorted((ROOT / "reid_gen" / "cli").glob("*.py"))
    assert modules
    assert not [name_of(path) for path in modules if "torch" in set(imported_at_start(path))]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=name_of)
def test_configuration_loads_and_is_named_after_its_file(path):
    assert load_config(path).name == path.stem


def documented(docstring: str, section: str) -> list[str] | None:
    """Names in a section of a Google-style docstring; None if it has no such section."""
    found = re.search(rf"^{section}:\n((?:(?: .*)?\n)*)", docstring + "\n", re.MULTILINE)
    return None if found is None else re.findall(r"^ {4}\*{0,2}(\w+):", found[1], re.MULTILINE)


def parameters(node: Function) -> list[str]:
    listed = node.args
    ordered = [*listed.posonlyargs, *listed.args, listed.vararg, *listed.kwonlyargs, listed.kwarg]
    names = [argument.arg for argument in ordered if argument is not None]
    return [name for name in names if name not in ("self", "cls")]


def test_args_of_a_docstring_reads_sections_to_their_end():
    text = "Do.\n\nArgs:\n    a: One: two\n        b: no.\n\n    c: Three.\n\nReturns:\n    d: No."
    assert documented(text, "Args") == ["a", "c"]
    assert documented(text, "Raises") is None


def test_documented_arguments_are_those_of_the_signature():
    faults = []
    for path in (path for path in SOURCES if path.is_relative_to(ROOT / "reid_gen")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                init = [n for n in node.body if isinstance(n, Function) and n.name == "__init__"]
                signature = parameters(init[0]) if init else None
            elif isinstance(node, Function):
                signature = parameters(node)
            else:
                continue
            said = documented(inspect.cleandoc(ast.get_docstring(node) or ""), "Args")
            if said is not None and said != signature:
                faults.append(f"{name_of(path)}:{node.lineno}: {node.name}: {said}, {signature}")
    assert not faults


def test_public_functions_and_classes_have_a_docstring():
    def public(body: list[ast.stmt], inside: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node):
                    yield f"{inside}:{node.name}"
                if isinstance(node, ast.ClassDef):
                    yield from public(node.body, f"{inside}:{node.name}")

    modules = [path for path in SOURCES if path.is_relative_to(ROOT / "reid_gen")]
    trees = {name_of(path): ast.parse(path.read_text()) for path in modules}
    assert not [fault for name, tree in trees.items() for fault in public(tree.body, name)]
    assert not [name for name, tree in trees.items() if not ast.get_docstring(tree)]


def tracked_files() -> list[Path]:
    listed = run("git", "ls-files", "-z")
    if listed.returncode != 0:
        pytest.skip("not a git work tree")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_large_file_is_committed_but_built_in_weights_of_20_mb_in_all():
    large = [path for path in tracked_files() if path.stat().st_size > 2 << 20]
    assert all(path.suffix == ".safetensors" and "assets" in path.parts for path in large)
    assert sum(path.stat().st_size for path in large) < 20_000_000
