"""``--json`` of every command: a file, or ``-`` for stdout with text on stderr."""

import json

import numpy as np
import pytest

from reid_gen.cli.main import main
from reid_gen.cli.options import BUILT_IN
from reid_gen.data.tables import write_table
from tests.cli.conftest import failure
from tests.cluster.features import make_features
from tests.data.real_format import make_market

pytestmark = pytest.mark.slow


@pytest.fixture
def workdir(tmp_path, gan_run, monkeypatch):
    """Working folder with a run, crops, features and a data set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(gan_run)
    (tmp_path / "people").symlink_to(gan_run.parents[1] / "people")
    make_market(tmp_path / "data")
    features, pids = make_features(persons=6, each=6)
    columns = {"key": np.arange(36).astype(str), "pid": pids, "camid": np.arange(36) % 3}
    write_table({**columns, "feature": features}, tmp_path / "labelled.npz")
    write_table({"key": columns["key"], "feature": features}, tmp_path / "unlabelled.npz")
    main(["extract", "people/query", "--out", "s.npz", "--shard", "1/1"])
    return tmp_path


COMMANDS = {
    "data check market1501 --root data": ("train", ["splits", "unreadable", "notes"]),
    "evaluate --checkpoint run": ("mAP", 1),
    "evaluate-views run --queries 3 --degrees 180": (
        "generated",
        ["degrees", "queries", "frechet_features", "judge", "scores"],
    ),
    "extract people/query --out f.npz": (
        "features of length",
        ["file", "model", "images", "length", "unreadable"],
    ),
    "search --query people/query --gallery people/query --top 2": ("queries: ranks.png", 6),
    "export run --out encoder.pt2": ("wrote encoder.pt2", ["file", "int8", "difference"]),
    "cluster labelled.npz --k1 6 --k2 2 --out labels.npz": (
        "wrote labels.npz",
        ["clusters", "outliers", "ari"],
    ),
    "rank labelled.npz labelled.npz": ("mAP", 1),
    "meshes pedestrians --root people --out bodies": (
        "bodies, mean score",
        ["folder", "whole", "splits", "low_scores"],
    ),
    "generate run --out groups --members 2": (
        "images in 9 groups",
        ["folder", "images", "groups", "mean"],
    ),
    "extract people/query --out s.npz --shard 1/2": ("wrote shard 1/2", ["folder", "shard"]),
    "merge s.npz.shard-1-of-1 --out m.npz": (
        "features of length",
        ["file", "images", "length", "unreadable"],
    ),
    "zoo list": (BUILT_IN, 3),
    f"zoo show {BUILT_IN}": ("backbone: resnet10t", ["name", "about"]),
    "zoo verify": ("matches its card", [BUILT_IN]),
    f"zoo evaluate {BUILT_IN} --dataset market1501 --root data": ("mAP", 1),
}
"""Command -> text output, and keys of the JSON object or minimum length of the JSON list."""


@pytest.mark.parametrize("command", COMMANDS)
def test_json_to_stdout_sends_text_to_stderr(command, workdir, capsys):
    text, expected = COMMANDS[command]
    main([*command.split(), "--json", "-"])
    output = capsys.readouterr()
    content = json.loads(output.out)
    assert text in output.err
    if isinstance(expected, int):
        assert len(content) >= expected
    else:
        assert set(expected) <= set(content)
    assert not (workdir / "-").exists()


def test_json_file_equals_stdout_and_text_stays_on_stdout(workdir, capsys):
    command = ["zoo", "show", BUILT_IN, "--json"]
    main([*command, "-"])
    expected = json.loads(capsys.readouterr().out)
    main([*command, "card.json"])
    assert "backbone: resnet10t" in capsys.readouterr().out
    assert json.loads((workdir / "card.json").read_text()) == expected
    message = failure(capsys, *command, "card.json")
    assert message == "error: card.json exists; give --force to overwrite it, or another name"
    main([*command, "card.json", "--force"])


def test_data_check_lists_unreadable_images_in_json(workdir, capsys):
    broken = next((workdir / "data").rglob("*.jpg"))
    broken.write_bytes(b"no image")
    with pytest.raises(SystemExit) as error:
        main(["data", "check", "market1501", "--root", "data", "--json", "-"])
    assert error.value.code == 1
    (unreadable,) = json.loads(capsys.readouterr().out)["unreadable"]
    assert unreadable["path"].endswith(broken.name)


def test_rank_refuses_json_without_pids(workdir, capsys):
    words = ["unlabelled.npz", "unlabelled.npz", "--out", "m.npz", "--json", "-"]
    assert failure(capsys, "rank", *words) == (
        "error: the files have no pids, so nothing can be evaluated; leave --json out"
    )
    assert not (workdir / "m.npz").exists()
