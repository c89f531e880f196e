"""``reid-gen rank``: images that are ignored, and notes about them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from reid_gen.cli.main import main
from reid_gen.data.tables import write_table
from tests.cli.conftest import failure
from tests.cluster.features import make_features

pytestmark = pytest.mark.slow

KEYS = np.array([f"{n:03d}.jpg" for n in range(60)])


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(name, rows=slice(None), **columns):
    features, pids = make_features(persons=10, each=6, noise=0.8)
    columns = {"feature": features, "key": KEYS, "pid": pids, **columns}
    write_table({column: values[rows] for column, values in columns.items()}, name)


def rank_metrics(capsys, *words):
    """Run ``reid-gen rank``; return the metrics without re-ranking, and stderr."""
    main(["rank", "query.npz", "gallery.npz", "--json", "-", *words])
    output = capsys.readouterr()
    return json.loads(output.out)[0], output.err


def random_features():
    rows = np.random.default_rng(0).normal(size=(60, 512)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_rank_ignores_the_query_image_in_the_gallery(workdir, capsys):
    for name in ("query.npz", "gallery.npz"):
        save(workdir / name, feature=random_features())
    metrics, text = rank_metrics(capsys)
    assert metrics["rank-1"] < 0.3
    assert metrics["mAP"] < 0.25
    assert metrics["same_images"] == 60
    note = " ".join(text.split())
    assert "the query's own image left out 60 times (--keep-same-image keeps it)" in note
    metrics, text = rank_metrics(capsys, "--keep-same-image")
    assert metrics["rank-1"] == 1
    assert metrics["same_images"] == 0
    assert "own image" not in text


def test_rank_writes_no_match_of_a_query_with_itself(workdir, capsys):
    save(workdir / "query.npz", slice(0, 4))
    save(workdir / "gallery.npz", slice(2, 7))
    for words in ([], ["--rerank"]):
        main(["rank", "query.npz", "gallery.npz", "--out", "m.npz", "--force", *words])
        assert "contains a query's own image 2 times, which is ignored" in capsys.readouterr().err
        matches = np.load("m.npz")
        pairs = list(zip(matches["query"].tolist(), matches["gallery"].tolist(), strict=True))
        assert len(pairs) == len(set(pairs)) == 5 + 5 + 4 + 4
        assert not [pair for pair in pairs if pair[0] == pair[1]]
        assert np.isfinite(matches["distance"]).all()
        assert matches["rank"].tolist() == [*range(1, 6)] * 2 + [*range(1, 5)] * 2


def test_rank_notes_images_without_cameras(workdir, capsys):
    save(workdir / "query.npz", slice(0, None, 6))
    save(workdir / "gallery.npz", [n for n in range(60) if n % 6])
    plain, text = rank_metrics(capsys)
    assert plain["unknown_cameras"] == 60
    assert "60 images have no camera, so none of their matches is left out" in " ".join(
        text.split()
    )
    camids = np.arange(60) % 6
    save(workdir / "query.npz", slice(0, None, 6), camid=camids)
    save(workdir / "gallery.npz", [n for n in range(60) if n % 6], camid=camids)
    with_cameras, text = rank_metrics(capsys)
    assert with_cameras["mAP"] == plain["mAP"]
    assert with_cameras["unknown_cameras"] == 0
    assert "no camera" not in text


@pytest.mark.parametrize("unknown", [-1, np.nan])
def test_rank_ignores_unknown_people(unknown, workdir, capsys):
    pids = np.repeat(np.arange(10.0), 6)
    pids[[1, 7, 8, 20, 33]] = unknown
    pids[12] = unknown  # of a query
    query, gallery = np.arange(0, 60, 6), np.array([n for n in range(60) if n % 6])
    save(workdir / "query.npz", query, pid=pids)
    save(workdir / "gallery.npz", gallery, pid=pids)
    metrics, text = rank_metrics(capsys)
    assert metrics["junk"] == 5
    assert metrics["skipped_queries"] == 1
    assert "5 gallery images of unknown people (junk) left out" in " ".join(text.split())
    save(workdir / "query.npz", np.delete(query, 2), pid=pids)
    save(workdir / "gallery.npz", np.setdiff1d(gallery, [1, 7, 8, 20, 33]), pid=pids)
    assert rank_metrics(capsys)[0]["mAP"] == pytest.approx(metrics["mAP"], rel=1e-12)


def test_rank_without_pids_only_writes_matches(workdir, capsys):
    for name in ("query.npz", "gallery.npz"):
        save(workdir / name, pid=np.full(60, np.nan))
    assert failure(capsys, "rank", "query.npz", "gallery.npz") == (
        "error: the files have no pids, so nothing can be evaluated; give --out to write the "
        "matches"
    )
    main(["rank", "query.npz", "gallery.npz", "--out", "m.csv"])
    assert "wrote m.csv" in capsys.readouterr().out


def test_cluster_computes_agreement_over_known_people(workdir, capsys):
    pids = np.repeat(np.arange(10.0), 6)
    for name, values in (("all", pids), ("some", np.where(np.arange(60) % 6 < 2, np.nan, pids))):
        save(workdir / f"{name}.npz", pid=values, feature=make_features(persons=10, each=6)[0])
        words = ["--k1", "6", "--k2", "2", "--out", f"{name}.csv", "--json", f"{name}.json"]
        main(["cluster", f"{name}.npz", *words])
        quality = json.loads((workdir / f"{name}.json").read_text())
        assert quality["purity"] == quality["ari"] == 1


def test_cluster_notes_smaller_defaults_for_few_images(workdir, capsys):
    features, _ = make_features(persons=4, each=6, noise=0.3, common=3)
    save(workdir / "few.npz", slice(0, 24), feature=features)
    main(["cluster", "few.npz", "--out", "a.csv"])
    output = capsys.readouterr().out
    assert "clusters 4\n" in output
    assert "note: with 24 images k1 is 6 and k2 is 3 by default, instead of 30 and 6" in output
    main(["cluster", "few.npz", "--out", "b.csv", "--k1", "30", "--k2", "6"])
    output = capsys.readouterr().out
    assert (
        "note: clustering found 1 clusters; try --k1 6 --k2 3, the defaults for 24 images" in output
    )


PROGRAM = """
import sys
sys.modules["faiss"] = None
from reid_gen.cli.main import main
main(["cluster", "query.npz", "--k1", "6", "--out", "labels.csv"])
main(["rank", "query.npz", "gallery.npz", "--rerank"])
main(["cluster", "query.npz", "--neighbours", "flat", "--out", "never.csv"])
"""


def test_exact_commands_run_without_faiss(workdir):
    for name in ("query.npz", "gallery.npz"):
        save(workdir / name)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert "zhong" in result.stdout, result.stderr
    assert "neighbours need faiss, which does not load" in result.stderr
    assert "take exact" in result.stderr
    assert not (workdir / "never.csv").exists()
