"""Encoders of all kinds, checkpoints of other toolboxes among them, measured on data sets."""

import json
import runpy
import sys

import pytest
import torch

from reid_gen.cli.main import main
from reid_gen.models.weight_files import ENCODER_FILE, built_in
from tests.cli.conftest import failure
from tests.data.real_format import make_duke, make_market, make_msmt17
from tests.documents.pages import ROOT
from tests.models.test_foreign import cluster_contrast

OURS = "resnet10t.rendered"
SETS = ("market1501", "dukemtmcreid", "msmt17")
SIZE = ["--height", "64", "--width", "32"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for make in (make_market, make_duke, make_msmt17):
        make(root)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    file = tmp_path_factory.mktemp("theirs") / "model_best.pth.tar"
    torch.save(cluster_contrast(True), file)
    return file


def on(*names):
    return [word for name in names for word in ("--dataset", name)]


def test_a_foreign_checkpoint_is_measured_as_what_is_imported(data, checkpoint, tmp_path, capsys):
    model = tmp_path / "model"
    main(["zoo", "import", str(checkpoint), "--out", str(model), *SIZE])
    capsys.readouterr()
    found = []
    for given in ([str(checkpoint), *SIZE], [str(model)]):
        main(["zoo", "evaluate", *given, *on(*SETS), "--root", str(data), "--json", "-"])
        told = capsys.readouterr()
        found.append(json.loads(told.out))
        assert all(name in told.err for name in SETS)
    assert found[0] == found[1]
    assert [one["dataset"] for one in found[0]] == list(SETS)
    assert all(0 < one["mAP"] <= 1 for one in found[0])


def test_what_is_read_of_a_foreign_checkpoint_is_said(data, checkpoint, capsys):
    words = ["--colours", "half", *on("market1501"), "--root", str(data)]
    main(["zoo", "evaluate", str(checkpoint), *SIZE, *words])
    told = capsys.readouterr()
    assert "Cluster Contrast or OpenUnReID: resnet18, gem pooling; loaded" in told.err
    assert told.out.splitlines()[0] == "market1501"
    assert "mAP" in told.out


@pytest.mark.parametrize("first", [True, False])
def test_the_script_measures_a_file_on_several_sets(first, data, checkpoint, monkeypatch, capsys):
    words = [*on("market1501", "msmt17"), "--root", str(data), *SIZE]
    words = [str(checkpoint), *words] if first else [*words, str(checkpoint)]
    monkeypatch.setattr(sys, "argv", ["tools/test.py", *words])
    runpy.run_path(str(ROOT / "tools" / "test.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in SETS] == ["market1501", "msmt17"]


def test_the_script_without_a_model_is_the_command_evaluate(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tools/test.py"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "tools" / "test.py"), run_name="__main__")
    assert stopped.value.code == 2
    assert "give --config FILE, --checkpoint RUN or both" in capsys.readouterr().err


def test_sizes_are_for_checkpoints_of_others(data, capsys):
    words = ["zoo", "evaluate", OURS, *on("market1501"), "--root", data, "--height", 64]
    assert (
        "--height, --width and --colours are for checkpoints of other toolboxes, and "
        f"have no effect on {OURS}; leave them out"
    ) in failure(capsys, *words, code=2)


def test_a_weight_file_of_ours_beside_its_card_is_not_taken_for_anothers(data, capsys):
    found = []
    for model in (OURS, built_in(OURS) / ENCODER_FILE):
        words = [*on("market1501"), "--root", str(data), "--json", "-"]
        main(["zoo", "evaluate", str(model), *words])
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]


def test_other_commands_say_how_a_foreign_checkpoint_becomes_a_model(
    data, checkpoint, tmp_path, capsys
):
    out = tmp_path / "f.npz"
    message = failure(capsys, "extract", data, "--model", checkpoint, "--out", out)
    assert message == (
        f"error: {checkpoint} is a checkpoint of another toolbox; import it with: "
        f"reid-gen zoo import {checkpoint} --out DIR"
    )


def test_a_data_set_that_is_not_there_stops_before_anything_is_measured(data, checkpoint, capsys):
    message = failure(
        capsys, "zoo", "evaluate", checkpoint, *on("market1501", "cuhk03"), "--root", data
    )
    assert message.startswith("error: unknown data set 'cuhk03'; known: ")
