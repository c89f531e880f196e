"""Every command of the README, run in order on small data sets in the real layouts."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from reid_gen.cli.main import main
from reid_gen.data.features import write_table
from tests.cluster.features import people
from tests.data.real_format import make_market
from tests.models.test_foreign import cluster_contrast

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
NOT_RUN = {
    "data prepare": "wants the official archive",
    "train --resume": "the run it names has ended; tests/cli/test_interrupt.py resumes one",
}
SMALL = (
    "encoder.backbone=resnet10t", "encoder.weights=null", "data.height=64", "data.width=32",
    "sampler.batch=16", "sampler.instances=4", "clustering.k1=6", "clustering.k2=2",
    "clustering.min_samples=2",
)  # fmt: skip
SHORT = ("stages.0.epochs=1", "stages.0.iterations=2", "stages.0.decay_every=null")
OTHERS = (
    "stages.1.epochs=1",
    "stages.1.iterations=2",
    "stages.2.epochs=1",
    "stages.2.iterations=2",
)
BEFORE = {
    "configs/baseline_market_small.yaml": (*SMALL, *SHORT),
    "configs/gcl_pedestrians.yaml": (
        *SHORT, *OTHERS, "stages.2.decay_every=null", "clustering.k1=6", "generator.batch=4",
        "generator.learn=2",
    ),
}  # fmt: skip
"""Settings that make a configuration small; the README's own come after them."""
SMALLER = {
    "--preset market": "--preset tiny",
    "demo/pedestrians/query --out": "'demo/pedestrians/query/0013_*.jpg' --out",
}


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```bash\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    text = "".join(blocks).replace("\\\n", " ")
    for there, here in SMALLER.items():
        assert there in text
        text = text.replace(there, here)
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [words[1:] for words in lines if words and words[0] == "reid-gen"]


def made_small(words: list[str]) -> list[str]:
    """A command with the settings that make its configuration small, before its own."""
    if "--config" not in words:
        return words
    place = words.index("--config") + 2
    given = [word for value in BEFORE[words[place - 1]] for word in ("--set", value)]
    if words[0] == "evaluate":
        given = given[: 2 * len(SMALL)]
    return [*words[:place], *given, *words[place:]]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with what the README presumes: data, crops, other people's files."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    make_market(tmp_path / "data")
    (tmp_path / "crops").mkdir()
    split = tmp_path / "data" / "Market-1501-v15.09.15" / "bounding_box_train"
    found = sorted(split.glob("*.jpg"))
    for number, file in enumerate(found):
        shutil.copy(file, tmp_path / "crops" / f"crop{number}.jpg")
    shutil.copy(found[0], tmp_path / "a.jpg")
    torch.manual_seed(0)
    torch.save(cluster_contrast(True), tmp_path / "model_best.pth.tar")
    features, pids = people(persons=10, each=6)
    for name, rows in (("query", slice(0, None, 6)), ("gallery", slice(None))):
        keys = np.array([f"{name}{n}" for n in range(len(pids[rows]))])
        columns = {"key": keys, "pid": pids[rows], "camid": np.full(len(keys), -1)}
        write_table({**columns, "feature": features[rows]}, tmp_path / f"{name}.npz")
    monkeypatch.chdir(tmp_path)
    main(["data", "render", "pedestrians", "--preset", "tiny", "--out", "demo/pedestrians"])
    config = ["--config", "configs/baseline_market_small.yaml", "--set", "data.root=data"]
    main(made_small(["train", *config]))  # what `make train ROOT=data` does
    return tmp_path


@pytest.mark.slow
def test_every_command_of_the_readme_runs(project):
    pytest.importorskip("matplotlib")
    pytest.importorskip("onnxruntime")
    left_out = set()
    for words in commands():
        name = " ".join(words[:2])
        if name in NOT_RUN:
            left_out.add(name)
            continue
        main(made_small(words))
    assert left_out == set(NOT_RUN)
    for made in ("features.npz", "result.json", "ranks.png", "report.html", "turn.gif"):
        assert (project / made).stat().st_size > 0
