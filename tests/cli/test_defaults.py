"""Commands with required options only."""

import numpy as np
import pytest
from PIL import Image

from reid_gen.cli import search as module
from reid_gen.cli.main import main
from tests.cli.conftest import failure
from tests.cli.test_export import exported  # noqa: F401

pytestmark = pytest.mark.slow

NOTE = "note: no --model given, using resnet10t.rendered, which was trained on rendered people only"


@pytest.fixture
def crops(tmp_path, gan_run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return str(gan_run.parents[1] / "people" / "query")


def test_search_uses_the_built_in_encoder_and_writes_a_sheet(crops, tmp_path, capsys):
    words = ["search", "--query", crops, "--gallery", crops, "--top", "2", "--keep-same-image"]
    main(words)
    output = capsys.readouterr()
    assert output.err.strip() == NOTE
    lines = output.out.splitlines()
    assert lines[1].split()[:2] == ["1", "0.0000"]
    assert lines[-1] == "wrote ranked lists of 6 of 6 queries: ranks.png"
    first = np.asarray(Image.open(tmp_path / "ranks.png"))
    assert first[0, 71].tolist() == [40, 160, 60]
    (tmp_path / "ranks.png").write_bytes(b"existing")
    assert failure(capsys, *words) == (
        "error: ranks.png exists; give --force to overwrite it, or another name"
    )
    assert (tmp_path / "ranks.png").read_bytes() == b"existing"
    main([*words, "--force"])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "ranks.png")), first)


def test_search_limits_the_queries_on_the_default_sheet(crops, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "DEFAULT_SHEET_QUERIES", 2)
    words = ["search", "--query", crops, "--gallery", crops, "--top", "2"]
    main(words)
    assert "wrote ranked lists of 2 of 6 queries: ranks.png" in capsys.readouterr().out
    assert np.asarray(Image.open(tmp_path / "ranks.png")).shape[0] == 2 * 134
    main([*words, "--sheet", "all.png"])
    assert "wrote ranked lists of 6 of 6 queries: all.png" in capsys.readouterr().out


def test_extract_uses_the_built_in_encoder(crops, capsys):
    main(["extract", crops, "--out", "f.npz"])
    assert capsys.readouterr().err.strip() == NOTE
    assert np.load("f.npz")["feature"].shape[1] == 512


def test_extract_refuses_a_model_of_another_runtime(crops, gan_run, exported, capsys):  # noqa: F811
    onnx = exported / "encoder.onnx"
    for number, (model, runtime) in enumerate(((gan_run, "torch"), (onnx, "onnx"))):
        words = ["--model", str(model), "--runtime", runtime, "--out", f"{number}.npz"]
        main(["extract", crops, *words])
    message = failure(
        capsys, "extract", crops, "--model", gan_run, "--runtime", "onnx", "--out", "x.npz"
    )
    assert message == (
        f"error: --runtime onnx needs an .onnx file, but {gan_run} runs on torch; export it: "
        f"reid-gen export {gan_run} --out encoder.onnx"
    )
    message = failure(
        capsys, "extract", crops, "--model", onnx, "--runtime", "torch", "--out", "x.npz"
    )
    assert message == (
        f"error: --runtime torch needs a run or a checkpoint, but {onnx} runs on ONNX Runtime; "
        "give the run that it was exported from, or leave --runtime out"
    )


@pytest.mark.parametrize(
    "words",
    [["search", "--query", "a.jpg"], ["extract"], ["zoo", "evaluate", "x"], ["nothing"],
     ["extract", "a", "--out", "b.npz", "--runtime", "java"], ["zoo", "list", "--json"]],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_exits_with_code_2(words, capsys):
    with pytest.raises(SystemExit) as error:
        main(words)
    assert error.value.code == 2
    assert "Error: " in capsys.readouterr().err
