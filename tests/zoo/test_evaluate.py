"""``reid-gen zoo evaluate`` with built-in encoders and checkpoints of other toolboxes."""

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

pytestmark = pytest.mark.slow

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
    file = tmp_path_factory.mktemp("foreign") / "model_best.pth.tar"
    torch.save(cluster_contrast(True), file)
    return file


def on(*names):
    return [word for name in names for word in ("--dataset", name)]


def test_evaluate_scores_foreign_checkpoints_like_imported_ones(data, checkpoint, tmp_path, capsys):
    model = tmp_path / "model"
    main(["zoo", "import", str(checkpoint), "--out", str(model), *SIZE])
    capsys.readouterr()
    results = []
    for words in ([str(checkpoint), *SIZE], [str(model)]):
        main(["zoo", "evaluate", *words, *on(*SETS), "--root", str(data), "--json", "-"])
        output = capsys.readouterr()
        results.append(json.loads(output.out))
        assert all(name in output.err for name in SETS)
    assert results[0] == results[1]
    assert [scores["dataset"] for scores in results[0]] == list(SETS)
    assert all(0 < scores["mAP"] <= 1 for scores in results[0])


def test_evaluate_reports_what_it_read_from_a_checkpoint(data, checkpoint, capsys):
    words = ["--colours", "half", *on("market1501"), "--root", str(data)]
    main(["zoo", "evaluate", str(checkpoint), *SIZE, *words])
    output = capsys.readouterr()
    assert "Cluster Contrast or OpenUnReID: resnet18, gem pooling; loaded" in output.err
    assert output.out.splitlines()[0] == "market1501"
    assert "mAP" in output.out


@pytest.mark.parametrize("first", [True, False])
def test_test_script_evaluates_on_several_data_sets(first, data, checkpoint, monkeypatch, capsys):
    words = [*on("market1501", "msmt17"), "--root", str(data), *SIZE]
    words = [str(checkpoint), *words] if first else [*words, str(checkpoint)]
    monkeypatch.setattr(sys, "argv", ["tools/test.py", *words])
    runpy.run_path(str(ROOT / "tools" / "test.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in SETS] == ["market1501", "msmt17"]


def test_test_script_without_model_runs_evaluate(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tools/test.py"])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_path(str(ROOT / "tools" / "test.py"), run_name="__main__")
    assert exit_info.value.code == 2
    assert "give --config FILE, --checkpoint RUN or both" in capsys.readouterr().err


def test_evaluate_refuses_sizes_for_built_in_encoders(data, capsys):
    words = ["zoo", "evaluate", OURS, *on("market1501"), "--root", data, "--height", 64]
    assert (
        "--height, --width and --colours are for checkpoints of other toolboxes, and "
        f"have no effect on {OURS}; leave them out"
    ) in failure(capsys, *words, code=2)


def test_evaluate_recognises_own_weight_files_by_their_card(data, capsys):
    results = []
    for model in (OURS, built_in(OURS) / ENCODER_FILE):
        words = [*on("market1501"), "--root", str(data), "--json", "-"]
        main(["zoo", "evaluate", str(model), *words])
        results.append(json.loads(capsys.readouterr().out))
    assert results[0] == results[1]


def test_extract_explains_how_to_import_foreign_checkpoints(data, checkpoint, tmp_path, capsys):
    out = tmp_path / "f.npz"
    message = failure(capsys, "extract", data, "--model", checkpoint, "--out", out)
    assert message == (
        f"error: {checkpoint} is a checkpoint of another toolbox; import it with: "
        f"reid-gen zoo import {checkpoint} --out DIR"
    )


def test_evaluate_refuses_unknown_data_sets_before_it_starts(data, checkpoint, capsys):
    message = failure(
        capsys, "zoo", "evaluate", checkpoint, *on("market1501", "cuhk03"), "--root", data
    )
    assert message.startswith("error: unknown data set 'cuhk03'; known: ")
