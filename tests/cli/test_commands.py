import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from reid_gen.cli.main import main
from tests.data.real_format import make_market
from tests.training.small import write_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = write_config(folder, make_market(folder / "data"))
    main(["train", "--config", str(config), "--set", "stages.0.epochs=1"])
    return folder / "runs" / "tiny"


def call(*words):
    main([str(word) for word in words])


def query(run):
    return run.parent.parent / "data" / "Market-1501-v15.09.15" / "query"


def test_extract_writes_unit_features_in_a_stable_order(run, tmp_path):
    for name in ("first.npz", "second.npz"):
        call("extract", query(run), "--model", run, "--out", tmp_path / name)
    first, second = (np.load(tmp_path / name) for name in ("first.npz", "second.npz"))
    names = sorted(path.name for path in query(run).glob("*.jpg"))
    assert first["key"].tolist() == second["key"].tolist() == names
    assert first["feature"].dtype == np.float32
    np.testing.assert_array_equal(first["feature"], second["feature"])
    np.testing.assert_allclose(np.linalg.norm(first["feature"], axis=1), 1, atol=1e-5)


def test_extract_takes_globs_lists_and_weight_files(run, tmp_path):
    names = sorted(path.name for path in query(run).glob("*.jpg"))[:3]
    listing = query(run) / "list.txt"
    listing.write_text("\n".join(reversed(names)))
    weights = run / "last" / "encoder.safetensors"
    call("extract", f"@{listing}", "--model", weights, "--out", tmp_path / "f.parquet")
    listing.unlink()
    table = parquet.read_table(tmp_path / "f.parquet").to_pydict()
    assert table["key"] == names[::-1]
    glob = f"{query(run)}/0001*.jpg"
    call("extract", glob, "--model", run, "--out", tmp_path / "g.npz")
    by_list = dict(zip(table["key"], table["feature"], strict=True))
    by_glob = np.load(tmp_path / "g.npz")
    assert [path.rsplit("/", 1)[1] for path in by_glob["path"]] == names[:2]
    np.testing.assert_allclose(by_glob["feature"][0], by_list[names[0]], atol=1e-5)


def test_extract_skips_and_names_unreadable_images(run, tmp_path, capsys):
    folder = tmp_path / "crops"
    folder.mkdir()
    for path in query(run).glob("*.jpg"):
        (folder / path.name).write_bytes(path.read_bytes())
    broken = sorted(folder.iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:300])
    capsys.readouterr()
    words = ["--out", tmp_path / "f.npz", "--skip-unreadable", "--flip"]
    call("extract", folder, "--model", run, *words)
    shown = capsys.readouterr()
    assert f"skipped, cannot be decoded: {broken}" in shown.err
    assert broken.name not in np.load(tmp_path / "f.npz")["key"]
    assert len(np.load(tmp_path / "f.npz")["key"]) == 15


def test_evaluate_writes_table_and_json_with_reranking(run, tmp_path, capsys):
    out = tmp_path / "result.json"
    capsys.readouterr()
    call("evaluate", "--checkpoint", run, "--rerank", "--flip", "--json", out)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[:3]] == ["re-ranking", "none", "zhong"]
    rankings = json.loads(out.read_text())
    assert [ranking["reranking"] for ranking in rankings] == ["none", "zhong"]
    assert all(0 < ranking["mAP"] <= 1 for ranking in rankings)


def test_evaluate_without_checkpoint_uses_initial_weights(run, capsys):
    capsys.readouterr()
    call("evaluate", "--config", run / "config.yaml")
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    shown = capsys.readouterr().out.splitlines()[1].split()
    assert float(shown[1]) == pytest.approx(100 * first["mAP"], abs=0.01)


def test_evaluate_temporal_fuses_travel_times(run, tmp_path, capsys):
    output = tmp_path / "result.json"
    call("evaluate", "--checkpoint", run, "--temporal", "--json", output)
    assert "visual-temporal (JVTC+)" in capsys.readouterr().out
    plain, joint = json.loads(output.read_text())
    assert joint["reranking"] == "visual-temporal (JVTC+)"
    assert joint["valid_queries"] == plain["valid_queries"]


def test_evaluate_temporal_needs_a_run(run, capsys):
    with pytest.raises(SystemExit):
        call("evaluate", "--config", run / "config.yaml", "--temporal")
    assert "--temporal learns travel times from the clusters of a run" in capsys.readouterr().err


def test_evaluate_turned_needs_a_run(run, capsys):
    with pytest.raises(SystemExit):
        call("evaluate", "--config", run / "config.yaml", "--turned")
    assert (
        "--turned generates views with the generator of a run; give --checkpoint RUN"
        in capsys.readouterr().err
    )


def test_shell_completion_lists_subcommands():
    completion = {"COMP_WORDS": "reid-gen zoo ev", "COMP_CWORD": "2"}
    program = [sys.executable, "-c", "from reid_gen.cli.main import main; main()"]
    result = subprocess.run(
        program,
        env={**os.environ, **completion, "_REID_GEN_COMPLETE": "bash_complete"},
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert result.stdout.strip() == "plain,evaluate"
