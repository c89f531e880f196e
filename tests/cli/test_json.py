"""``--json`` is the same everywhere: a file, or ``-`` for stdout while text goes to stderr."""

import json

import numpy as np
import pytest

from reid_gen.cli.main import main
from reid_gen.cli.options import BUILT_IN
from reid_gen.data.tables import write_table
from tests.cli.conftest import failure
from tests.cluster.features import make_features
from tests.data.real_format import make_market


@pytest.fixture
def place(tmp_path, gan_run, monkeypatch):
    """A working folder with a run, crops, features and data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(gan_run)
    (tmp_path / "people").symlink_to(gan_run.parents[1] / "people")
    make_market(tmp_path / "data")
    features, pids = make_features(persons=6, each=6)
    columns = {"key": np.arange(36).astype(str), "pid": pids, "camid": np.arange(36) % 3}
    write_table({**columns, "feature": features}, tmp_path / "known.npz")
    write_table({"key": columns["key"], "feature": features}, tmp_path / "unknown.npz")
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
    "cluster known.npz --k1 6 --k2 2 --out labels.npz": (
        "wrote labels.npz",
        ["clusters", "outliers", "ari"],
    ),
    "rank known.npz known.npz": ("mAP", 1),
    "meshes pedestrians --root people --out bodies": (
        "bodies, mean score",
        ["folder", "whole", "splits", "low_scores"],
    ),
    "generate run --out groups --members 2": (
        "images in 9 groups",
        ["folder", "images", "groups", "mean"],
    ),
    "zoo list": (BUILT_IN, 3),
    f"zoo show {BUILT_IN}": ("backbone: resnet10t", ["name", "about"]),
    "zoo verify": ("as its card says", [BUILT_IN]),
    f"zoo evaluate {BUILT_IN} --dataset market1501 --root data": ("mAP", 1),
}
"""Command -> text for people, and keys of the JSON, or the least length of its list."""


@pytest.mark.parametrize("command", COMMANDS)
def test_stdout_is_json_alone_and_text_goes_to_stderr(command, place, capsys):
    text, wanted = COMMANDS[command]
    main([*command.split(), "--json", "-"])
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert text in told.err
    if isinstance(wanted, int):
        assert len(found) >= wanted
    else:
        assert set(wanted) <= set(found)
    assert not (place / "-").exists()


def test_a_file_holds_the_same_and_text_stays_on_stdout(place, capsys):
    command = ["zoo", "show", BUILT_IN, "--json"]
    main([*command, "-"])
    wanted = json.loads(capsys.readouterr().out)
    main([*command, "card.json"])
    assert "backbone: resnet10t" in capsys.readouterr().out
    assert json.loads((place / "card.json").read_text()) == wanted
    message = failure(capsys, *command, "card.json")
    assert message == "error: card.json exists; give --force to overwrite it, or another name"
    main([*command, "card.json", "--force"])


def test_images_that_do_not_decode_are_in_the_json_of_the_check(place, capsys):
    broken = next((place / "data").rglob("*.jpg"))
    broken.write_bytes(b"no image")
    with pytest.raises(SystemExit) as stopped:
        main(["data", "check", "market1501", "--root", "data", "--json", "-"])
    assert stopped.value.code == 1
    (found,) = json.loads(capsys.readouterr().out)["unreadable"]
    assert found["path"].endswith(broken.name)


def test_ranks_without_measures_have_no_json(place, capsys):
    words = ["unknown.npz", "unknown.npz", "--out", "m.npz", "--json", "-"]
    assert failure(capsys, "rank", *words) == (
        "error: the files have no pids to measure by, so that --json has nothing to say; leave it "
        "out"
    )
    assert not (place / "m.npz").exists()
