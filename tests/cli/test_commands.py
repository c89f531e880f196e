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
    for name in ("one.npz", "two.npz"):
        call("extract", query(run), "--model", run, "--out", tmp_path / name)
    one, two = (np.load(tmp_path / name) for name in ("one.npz", "two.npz"))
    names = sorted(path.name for path in query(run).glob("*.jpg"))
    assert one["key"].tolist() == two["key"].tolist() == names
    assert one["feature"].dtype == np.float32
    np.testing.assert_array_equal(one["feature"], two["feature"])
    np.testing.assert_allclose(np.linalg.norm(one["feature"], axis=1), 1, atol=1e-5)


def test_extract_takes_globs_lists_and_weight_files_and_writes_parquet(run, tmp_path):
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


def test_extract_can_leave_out_what_does_not_decode_and_says_so(run, tmp_path, capsys):
    folder = tmp_path / "crops"
    folder.mkdir()
    for path in query(run).glob("*.jpg"):
        (folder / path.name).write_bytes(path.read_bytes())
    broken = sorted(folder.iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:300])
    capsys.readouterr()
    call(
        "extract",
        folder,
        "--model",
        run,
        "--out",
        tmp_path / "f.npz",
        "--skip-unreadable",
        "--flip",
    )
    shown = capsys.readouterr()
    assert f"left out, does not decode: {broken}" in shown.err
    assert broken.name not in np.load(tmp_path / "f.npz")["key"]
    assert len(np.load(tmp_path / "f.npz")["key"]) == 15


def test_evaluate_gives_a_table_and_json_with_and_without_reranking(run, tmp_path, capsys):
    out = tmp_path / "result.json"
    capsys.readouterr()
    call("evaluate", "--checkpoint", run, "--rerank", "--flip", "--json", out)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[:3]] == ["re-ranking", "none", "zhong"]
    found = json.loads(out.read_text())
    assert [result["reranking"] for result in found] == ["none", "zhong"]
    assert all(0 < result["mAP"] <= 1 for result in found)


def test_evaluate_without_a_checkpoint_measures_the_start_weights(run, capsys):
    capsys.readouterr()
    call("evaluate", "--config", run / "config.yaml")
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    shown = capsys.readouterr().out.splitlines()[1].split()
    assert float(shown[1]) == pytest.approx(100 * first["mAP"], abs=0.01)


def test_evaluate_ranks_by_time_too_with_the_clusters_of_the_run(run, tmp_path, capsys):
    output = tmp_path / "result.json"
    call("evaluate", "--checkpoint", run, "--temporal", "--json", output)
    assert "visual-temporal (JVTC+)" in capsys.readouterr().out
    plain, joint = json.loads(output.read_text())
    assert joint["reranking"] == "visual-temporal (JVTC+)"
    assert joint["valid_queries"] == plain["valid_queries"]


def test_times_need_the_clusters_of_a_run(run, capsys):
    with pytest.raises(SystemExit):
        call("evaluate", "--config", run / "config.yaml", "--temporal")
    assert "--temporal learns times from the clusters of a run" in capsys.readouterr().err


def test_views_need_the_generator_of_a_run(run, capsys):
    with pytest.raises(SystemExit):
        call("evaluate", "--config", run / "config.yaml", "--turned")
    assert (
        "--turned draws views with the generator of a run; give --checkpoint RUN"
        in capsys.readouterr().err
    )


def test_a_shell_completes_commands_in_an_instant():
    asked = {"COMP_WORDS": "reid-gen zoo ev", "COMP_CWORD": "2"}
    program = [sys.executable, "-c", "from reid_gen.cli.main import main; main()"]
    found = subprocess.run(
        program,
        env={**os.environ, **asked, "_REID_GEN_COMPLETE": "bash_complete"},
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert found.stdout.strip() == "plain,evaluate"
