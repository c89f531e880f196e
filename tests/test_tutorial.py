"""Every command of docs/tutorial.md and its Python, run in order on a smaller set."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from reid_gen.cli.main import main

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
SMALLER = {"small": "tiny", "people/query/0061_*.jpg": "people/query/0013_*.jpg"}
"""Words of the page -> of this test: the tiny set's first test person is the thirteenth."""
SHORTER = ("--set", "stages.0.epochs=1", "--set", "stages.0.iterations=2")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [[SMALLER.get(word, word) for word in shlex.split(line)] for line in lines]


@pytest.mark.slow
def test_the_tutorial_runs_from_its_first_line_to_its_last(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for program, command, *words in commands():
        assert program == "reid-gen"
        if command == "serve":  # waits for a browser: tests/report/test_app.py
            continue
        main([command, *words, *(SHORTER if command == "train" else ())])
    printed = capsys.readouterr().out
    assert "people/bounding_box_test/" in printed
    for made in ("features.npz", "labels.parquet", "ranks.png", "report.html", "encoder.onnx"):
        assert (tmp_path / made).stat().st_size > 0
    (python,) = blocks("python")
    known = {"crops": [np.zeros((90, 40, 3), np.uint8), np.full((50, 30, 3), 255, np.uint8)]}
    exec(python, known)
    assert known["likeness"].shape == (2, 2)
