"""Every command of every page runs, in the page's order, on small data in the real layouts."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.cluster.features import make_features
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

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Page:
    """How the commands of a page are run.

    Attributes:
        prepare: Writes the files that the page expects in the working folder.
        replace: Text in its commands, and the text that replaces it in the test.
        skip: Beginnings of commands that are not run, and the reason.
        settings: Command that takes the page's YAML as overrides.
        names: Variables that its Python code expects.
        outputs: Files that the commands write.
        needs: Optional packages that the page needs.
    """

    prepare: Callable[[], None]
    replace: Mapping[str, str] = field(default_factory=dict)
    skip: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""
    names: Mapping[str, object] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


RUN = {"bash", "yaml", "python"}
"""Languages of blocks that are run."""
SHOWN = ""
"""Language of blocks that are only shown."""
ELSEWHERE = {
    "docs/extending.md": "python",  # test_extending.py
    "docs/tracking.md": "python",  # test_tracking.py
}
"""Pages with blocks of one language, which another test runs."""
CROPS = [np.zeros((90, 40, 3), np.uint8), np.full((50, 30, 3), 255, np.uint8)]
PAGES = {
    "README.md": Page(
        presumed.for_readme,
        {
            "--preset market": "--preset tiny",
            "demo/pedestrians/query --out": "'demo/pedestrians/query/0013_*.jpg' --out",
        },
        {
            "make": "each line is a separate target, and this page has the commands that it calls",
            "reid-gen data prepare": "needs the official archive",
            "reid-gen train --resume": "that run is complete; see tests/cli/test_interrupt.py",
        },
        names={"crops": CROPS},
        outputs=("features.npz", "result.json", "ranks.png", "report.html", "turn.gif"),
        needs=("matplotlib", "onnxruntime"),
    ),
    "CONTRIBUTING.md": Page(
        presumed.nothing,
        skip=dict.fromkeys(
            ("make", ". .venv", "pre-commit install", ".ci/run"), "these commands run this test"
        ),
    ),
    "datasets/README.md": Page(
        lambda: (make_market(Path("datasets")), None)[1],
        skip={"reid-gen data prepare": "needs the official archive"},
    ),
    "datasets/folder/README.md": Page(presumed.for_bodies),
    "datasets/pedestrians/README.md": Page(presumed.nothing, {"small": "tiny"}),
    "docs/tutorial.md": Page(
        presumed.nothing,
        {"--preset small": "--preset tiny", "0061_": "0013_"},
        {"reid-gen serve": "waits for a browser; see tests/report/test_app.py"},
        names={"crops": CROPS},
        outputs=("features.npz", "labels.parquet", "ranks.png", "report.html", "encoder.onnx"),
        needs=("matplotlib", "onnxruntime"),
    ),
    "docs/gcl.md": Page(
        presumed.for_gcl,
        {
            "--preset small --seed 2": "--identities 4 --cameras 2 --seed 2",
            "--preset small": "--preset tiny",
            "--identities 400": "--identities 4 --cameras 2",
            "--members 4": "--members 2",
            "query --out": "'query/0013_*.jpg' --out",
        },
        settings="reid-gen train --config configs/baseline_pedestrians.yaml --set name=stored "
        "--set stages.0.views=true",
        outputs=("turn.gif", "views.json", "groups.png"),
    ),
    "docs/diffusion.md": Page(
        presumed.for_diffusion,
        {
            "--preset small --seed 2": "--identities 4 --cameras 2 --seed 2",
            "--preset small": "--preset tiny",
            " --out groups --members 4": " --out groups --members 2",
            "query --out": "'query/0013_*.jpg' --out",
            "--count 2000": "--count 8",
            "--count 1000": "--count 8",
            "configs/pipelines/": "",
        },
        outputs=("turn.gif", "views.json", "groups.png", "groups/views/groups.json"),
        needs=("transformers",),
    ),
    "docs/bodies.md": Page(
        presumed.for_bodies,
        {"32000": "24", "2000": "12", "30": "0.05 --batch 8", "18": "0.05 --batch 8"},
        outputs=("bodies.jpg", "regressor.safetensors"),
    ),
    "docs/clustering.md": Page(
        presumed.for_clustering,
        names={"features": make_features(10, 6)[0]},
        outputs=("labels.parquet",),
    ),
    "docs/several_gpus.md": Page(presumed.market),
    "docs/scale.md": Page(
        presumed.for_bodies,
        {"runs/baseline_market_small": "resnet10t.rendered"},
        dict.fromkeys(
            (
                "reid-gen extract crops --engine ray",
                "reid-gen meshes folder --root crops --engine ray",
                "reid-gen generate --engine ray",
            ),
            "starts Ray; see tests/distributed/test_ray_engine.py",
        ),
        outputs=("features.npz",),
        needs=("pyarrow",),
    ),
    "docs/pedestrians.md": Page(
        presumed.render,
        {"root=DIR": "root=demo/pedestrians", "weights=FILE": "weights=null"},
        {"make": "it calls commands of the README, on the same small data set"},
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    return tmp_path


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_a_page_runs(name, folder):
    page = PAGES[name]
    for package in page.needs:
        pytest.importorskip(package)
    page.prepare()
    text = "\n".join(shell_lines(text_of(ROOT / name)))
    for old, new in page.replace.items():
        assert old in text
        text = text.replace(old, new)
    skipped = set()
    for words in commands(text.splitlines()):
        line = " ".join(words)
        beginning = next((start for start in page.skip if line.startswith(start)), None)
        if beginning is not None:
            skipped.add(beginning)
            continue
        run(words)
    assert skipped == set(page.skip)
    for block in blocks(text_of(ROOT / name), "yaml"):
        overrides = [f"{key}={json.dumps(value)}" for key, value in yaml.safe_load(block).items()]
        run([*page.settings.split(), *(word for item in overrides for word in ("--set", item))])
    for block in blocks(text_of(ROOT / name), "python"):
        exec(block, dict(page.names))
    for output in page.outputs:
        assert (folder / output).stat().st_size > 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_block_of_a_page_is_run(document):
    text = text_of(document)
    languages = set(fences(text)) - {SHOWN, "mermaid"}
    for language in languages:
        assert len(blocks(text, language)) == fences(text).count(language)
    run_here = RUN if name_of(document) in PAGES else {ELSEWHERE.get(name_of(document), SHOWN)}
    assert languages <= run_here
    if "yaml" in languages:
        assert PAGES[name_of(document)].settings


def test_train_regressor_needs_more_crops_than_a_batch(folder):
    tool = "tools/train_regressor.py"
    run(["python", tool, "render", "--count", "8", "--out", "few.npz"])
    files = ["--lessons", "few.npz", "--held-out", "few.npz", "--out", "x"]
    with pytest.raises(SystemExit, match="--lessons holds 8 crops, and a batch of 64 needs more"):
        run(["python", tool, "train", *files])
    assert not Path("x").exists()
