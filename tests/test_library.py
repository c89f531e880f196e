"""Tests of the library interface: exports, import time and types of `reid_gen`."""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import import_module
from pathlib import Path

import pytest

import reid_gen

ROOT = Path(__file__).parent.parent
PROGRAM = """\
from pathlib import Path

import numpy as np
from reid_gen import FixedEps, ReidModel, evaluate_ranking, load_dataset, pseudo_labels

dataset = load_dataset("market1501", Path("data"))
model = ReidModel("resnet10t.rendered", device="cpu")
features = model([np.zeros((128, 64, 3), np.uint8)])
labels = pseudo_labels(features, eps=FixedEps(0.5)).labels
people: int = labels.max() + 1
paths: list[Path] = [image.path for image in dataset.train]
"""
WRONG = PROGRAM + "people.append(1)\n"
UNTYPED = ",".join(
    f"{name}.*"
    for name in (
        *("torch", "torchvision", "timm", "accelerate", "onnxruntime", "safetensors", "PIL"),
        *("faiss", "sklearn", "scipy", "numba", "pydantic", "huggingface_hub", "rich"),
    )
)


def python(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )


@pytest.mark.parametrize("name", [n for n in reid_gen.__all__ if n != "__version__"])
def test_library_exports_the_object_of_its_module(name):
    module = import_module(f"reid_gen.{reid_gen._MODULES[name]}")
    assert getattr(reid_gen, name) is getattr(module, name)
    assert name in dir(reid_gen)


def test_library_refuses_unknown_attributes():
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        reid_gen.train  # noqa: B018


def test_library_import_loads_no_torch_or_numpy():
    code = (
        "import sys; before = set(sys.modules); import reid_gen; "
        "print(sorted({'torch', 'numpy'} & set(sys.modules)), len(set(sys.modules) - before))"
    )
    loaded, count = python("-c", code).stdout.rsplit(maxsplit=1)
    assert loaded == "[]"
    assert int(count) < 50


@pytest.fixture
def installed(tmp_path):
    """Interpreter of an environment in which the package is installed, and not linked to."""
    venv.create(tmp_path / "venv", with_pip=False)
    packages = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    no_assets = shutil.ignore_patterns("assets", "__pycache__", "cards")
    shutil.copytree(Path(reid_gen.__file__).parent, packages / "reid_gen", ignore=no_assets)
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return str(tmp_path / "venv" / "bin" / "python")


@pytest.mark.slow
def test_library_types_are_visible_to_user_programs(tmp_path, installed):
    (tmp_path / "right.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(WRONG)
    # Only types of this project are checked; those of torch would take minutes.
    (tmp_path / "mypy.ini").write_text(
        f"[mypy]\nstrict = True\n[mypy-{UNTYPED}]\nignore_missing_imports = True\n"
        "follow_imports = skip\n"
    )
    options = ["--cache-dir", str(tmp_path / "cache"), "--python-executable", installed]
    result = python("-m", "mypy", *options, "right.py", "wrong.py", cwd=tmp_path)
    errors = [line for line in result.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, result.stdout + result.stderr
    assert errors[0].startswith('wrong.py:12: error: "int" has no attribute "append"')


def test_library_ships_its_type_marker():
    project = (ROOT / "pyproject.toml").read_text()
    assert (ROOT / "reid_gen" / "py.typed").is_file()
    assert re.search(r'^reid_gen = \["py\.typed"', project, re.MULTILINE)
