"""Every command of every page is run, in the page's order, on small data in the real layouts."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.cluster.features import people
from tests.data.real_format import make_market
from tests.documents import presumed
from tests.documents.pages import (
    DOCUMENTS,
    ROOT,
    blocks,
    commands,
    fences,
    name_of,
    shell_lines,
    text_of,
)
from tests.documents.small import run


@dataclass(frozen=True)
class Page:
    """How a page is run.

    Attributes:
        prepare: Makes in the working folder what the page presumes.
        smaller: Text of its commands, and what stands there in the test.
        left_out: Beginnings of commands that are not run, and why.
        settings: Command that the page's YAML is given to.
        names: What its Python presumes.
        made: Files that are there afterwards.
        needs: Optional packages.
    """

    prepare: Callable[[], None]
    smaller: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""
    names: Mapping[str, object] = field(default_factory=dict)
    made: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


RUN = {"bash", "yaml", "python"}
"""Languages of the blocks of a page."""
SHOWN = ""
"""Blocks without a language are to look at."""
ELSEWHERE = {
    "docs/extending.md": "python",  # test_extending.py
    "docs/tracking.md": "python",  # test_tracking.py
}
"""Pages of one language that another test runs."""
CROPS = [np.zeros((90, 40, 3), np.uint8), np.full((50, 30, 3), 255, np.uint8)]
PAGES = {
    "README.md": Page(
        presumed.for_readme,
        {
            "--preset market": "--preset tiny",
            "demo/pedestrians/query --out": "'demo/pedestrians/query/0013_*.jpg' --out",
        },
        {
            "make": "each line is a target of its own; what it calls is on this page",
            "reid-gen data prepare": "wants the official archive",
            "reid-gen train --resume": "that run has ended; see tests/cli/test_interrupt.py",
        },
        names={"crops": CROPS},
        made=("features.npz", "result.json", "ranks.png", "report.html", "turn.gif"),
        needs=("matplotlib", "onnxruntime"),
    ),
    "CONTRIBUTING.md": Page(
        presumed.nothing,
        left_out=dict.fromkeys(
            ("make", ". .venv", "pre-commit install", ".ci/run"), "this is what runs this test"
        ),
    ),
    "datasets/README.md": Page(
        lambda: (make_market(Path("datasets")), None)[1],
        left_out={"reid-gen data prepare": "wants the official archive"},
    ),
    "datasets/folder/README.md": Page(presumed.for_bodies),
    "datasets/pedestrians/README.md": Page(presumed.nothing, {"small": "tiny"}),
    "docs/tutorial.md": Page(
        presumed.nothing,
        {"--preset small": "--preset tiny", "0061_": "0013_"},
        {"reid-gen serve": "waits for a browser: tests/report/test_app.py"},
        names={"crops": CROPS},
        made=("features.npz", "labels.parquet", "ranks.png", "report.html", "encoder.onnx"),
        needs=("matplotlib", "onnxruntime"),
    ),
    "docs/gcl.md": Page(
        presumed.for_gcl,
        {
            "--preset small": "--preset tiny",
            "--identities 400": "--identities 8",
            "query --out": "'query/0013_*.jpg' --out",
        },
        settings="reid-gen train --config configs/baseline_pedestrians.yaml --set name=stored "
        "--set stages.0.views=true",
        made=("turn.gif", "views.json", "groups.png"),
    ),
    "docs/diffusion.md": Page(
        presumed.for_diffusion,
        {
            "--preset small": "--preset tiny",
            "query --out": "'query/0013_*.jpg' --out",
            "--count 2000": "--count 8",
            "--count 1000": "--count 8",
            "configs/pipelines/": "",
        },
        made=("turn.gif", "views.json", "groups.png", "groups/views/groups.json"),
        needs=("transformers",),
    ),
    "docs/bodies.md": Page(
        presumed.for_bodies,
        {"32000": "24", "2000": "12", "30": "0.05 --batch 8", "18": "0.05 --batch 8"},
        made=("bodies.jpg", "regressor.safetensors"),
    ),
    "docs/clustering.md": Page(
        presumed.for_clustering, names={"features": people(10, 6)[0]}, made=("labels.parquet",)
    ),
    "docs/pedestrians.md": Page(
        presumed.render,
        {"root=DIR": "root=demo/pedestrians", "weights=FILE": "weights=null"},
        {"make": "it calls commands of the README, on the same small set"},
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_the_page_runs(name, folder):
    page = PAGES[name]
    for package in page.needs:
        pytest.importorskip(package)
    page.prepare()
    text = "\n".join(shell_lines(text_of(ROOT / name)))
    for there, here in page.smaller.items():
        assert there in text
        text = text.replace(there, here)
    left_out = set()
    for words in commands(text.splitlines()):
        line = " ".join(words)
        beginning = next((start for start in page.left_out if line.startswith(start)), None)
        if beginning is not None:
            left_out.add(beginning)
            continue
        run(words)
    assert left_out == set(page.left_out)
    for block in blocks(text_of(ROOT / name), "yaml"):
        given = [f"{key}={json.dumps(value)}" for key, value in yaml.safe_load(block).items()]
        run([*page.settings.split(), *(word for one in given for word in ("--set", one))])
    for block in blocks(text_of(ROOT / name), "python"):
        exec(block, dict(page.names))
    for made in page.made:
        assert (folder / made).stat().st_size > 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_block_of_every_page_is_run(document):
    text = text_of(document)
    languages = set(fences(text)) - {SHOWN}
    for language in languages:
        assert len(blocks(text, language)) == fences(text).count(language)
    run_here = RUN if name_of(document) in PAGES else {ELSEWHERE.get(name_of(document), SHOWN)}
    assert languages <= run_here
    if "yaml" in languages:
        assert PAGES[name_of(document)].settings


def test_the_regressor_wants_more_lessons_than_a_batch(folder):
    tool = "tools/train_regressor.py"
    run(["python", tool, "render", "--count", "8", "--out", "few.npz"])
    files = ["--lessons", "few.npz", "--held-out", "few.npz", "--out", "x"]
    with pytest.raises(SystemExit, match="--lessons holds 8 crops, and a batch of 64 needs more"):
        run(["python", tool, "train", *files])
    assert not Path("x").exists()
