"""Rules for the whole tree: layers, lengths, names, docstrings and import time."""

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
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_TEST_NAME = 60
"""Characters of the name of a test function."""
ALLOWED_TO_BE_LONG: dict[str, str] = {}
"""``path`` or ``path:function`` -> why it is longer."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def relative_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[Function]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_imports_keep_to_the_layers():
    program = "from importlinter.cli import lint_imports_command as c; c(['--no-cache'])"
    result = run(sys.executable, "-c", program)
    assert result.returncode == 0, result.stdout + result.stderr


def test_files_are_short():
    lengths = {relative_name(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert not [
        f"{name}: {length} lines"
        for name, length in lengths.items()
        if length > MAX_FILE_LINES and name not in ALLOWED_TO_BE_LONG
    ]


def test_functions_are_short():
    lengths = {
        f"{relative_name(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in SOURCES
        for node in functions(path)
    }
    assert not [
        f"{name}: {length} lines"
        for name, length in lengths.items()
        if length > MAX_FUNCTION_LINES and name not in ALLOWED_TO_BE_LONG
    ]


def test_names_of_tests_are_short():
    long_names = [
        f"{relative_name(path)}: {node.name} ({len(node.name)})"
        for path in SOURCES
        if path.is_relative_to(ROOT / "tests")
        for node in functions(path)
        if node.name.startswith("test_") and len(node.name) > MAX_TEST_NAME
    ]
    assert not long_names, f"longer than {MAX_TEST_NAME} characters:\n" + "\n".join(long_names)


def test_module_names_say_what_they_hold():
    names = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}
    assert not [relative_name(path) for path in SOURCES if path.name in names]


def test_help_loads_no_heavy_library():
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
    result = run(sys.executable, "-c", program)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Usage: reid-gen ")
    assert "Usage: reid-gen zoo list" in result.stdout


def top_level_imports(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def test_cli_modules_import_torch_only_inside_functions():
    modules = sorted((ROOT / "reid_gen" / "cli").glob("*.py"))
    assert modules
    assert not [relative_name(path) for path in modules if "torch" in set(top_level_imports(path))]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=relative_name)
def test_configuration_loads_and_has_the_name_of_its_file(path):
    assert load_config(path).name == path.stem


def documented(docstring: str, section: str) -> list[str] | None:
    """Names in a section of a Google-style docstring; None if it has no such section."""
    match = re.search(rf"^{section}:\n((?:(?: .*)?\n)*)", docstring + "\n", re.MULTILINE)
    return None if match is None else re.findall(r"^ {4}\*{0,2}(\w+):", match[1], re.MULTILINE)


def parameters(node: Function) -> list[str]:
    a = node.args
    ordered = [*a.posonlyargs, *a.args, a.vararg, *a.kwonlyargs, a.kwarg]
    names = [argument.arg for argument in ordered if argument is not None]
    return [name for name in names if name not in ("self", "cls")]


def test_documented_reads_a_section_to_its_end():
    text = "Do.\n\nArgs:\n    a: One: two\n        b: no.\n\n    c: Three.\n\nReturns:\n    d: No."
    assert documented(text, "Args") == ["a", "c"]
    assert documented(text, "Raises") is None


def test_documented_arguments_match_the_signature():
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
            args = documented(inspect.cleandoc(ast.get_docstring(node) or ""), "Args")
            if args is not None and args != signature:
                where = f"{relative_name(path)}:{node.lineno}"
                faults.append(f"{where}: {node.name}: {args}, {signature}")
    assert not faults


def test_public_functions_and_classes_have_a_docstring():
    def undocumented(body: list[ast.stmt], parent: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node):
                    yield f"{parent}:{node.name}"
                if isinstance(node, ast.ClassDef):
                    yield from undocumented(node.body, f"{parent}:{node.name}")

    modules = [path for path in SOURCES if path.is_relative_to(ROOT / "reid_gen")]
    trees = {relative_name(path): ast.parse(path.read_text()) for path in modules}
    assert not [fault for name, tree in trees.items() for fault in undocumented(tree.body, name)]
    assert not [name for name, tree in trees.items() if not ast.get_docstring(tree)]


def tracked_files() -> list[Path]:
    result = run("git", "ls-files", "-z")
    if result.returncode != 0:
        pytest.skip("not a git work tree")
    paths = [ROOT / name for name in result.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_large_files_are_built_in_weights_of_20_mb_at_most():
    large = [path for path in tracked_files() if path.stat().st_size > 2 << 20]
    assert all(path.suffix == ".safetensors" and "assets" in path.parts for path in large)
    assert sum(path.stat().st_size for path in large) < 20_000_000
