"""``reid-gen rank``: what counts, what is left out, and what is said of it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from reid_gen.cli.main import main
from reid_gen.data.tables import write_table
from tests.cli.conftest import failure
from tests.cluster.features import make_features

KEYS = np.array([f"{n:03d}.jpg" for n in range(60)])


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(name, rows=slice(None), **columns):
    features, pids = make_features(persons=10, each=6, noise=0.8)
    columns = {"feature": features, "key": KEYS, "pid": pids, **columns}
    write_table({column: values[rows] for column, values in columns.items()}, name)


def measured(capsys, *words):
    main(["rank", "query.npz", "gallery.npz", "--json", "-", *words])
    told = capsys.readouterr()
    return json.loads(told.out)[0], told.err


def random_features():
    rows = np.random.default_rng(0).normal(size=(60, 512)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_rank_leaves_a_query_out_of_its_own_gallery(place, capsys):
    for name in ("query.npz", "gallery.npz"):
        save(place / name, feature=random_features())
    found, text = measured(capsys)
    assert found["rank-1"] < 0.3
    assert found["mAP"] < 0.25
    assert found["same_images"] == 60
    words = " ".join(text.split())
    assert "the query's own image left out 60 times (--keep-same-image keeps it)" in words
    found, text = measured(capsys, "--keep-same-image")
    assert found["rank-1"] == 1
    assert found["same_images"] == 0
    assert "own image" not in text


def test_rank_writes_no_match_of_a_query_with_itself(place, capsys):
    save(place / "query.npz", slice(0, 4))
    save(place / "gallery.npz", slice(2, 7))
    for words in ([], ["--rerank"]):
        main(["rank", "query.npz", "gallery.npz", "--out", "m.npz", "--force", *words])
        assert "holds a query's own image 2 times, which is left out" in capsys.readouterr().err
        found = np.load("m.npz")
        pairs = list(zip(found["query"].tolist(), found["gallery"].tolist(), strict=True))
        assert len(pairs) == len(set(pairs)) == 5 + 5 + 4 + 4
        assert not [pair for pair in pairs if pair[0] == pair[1]]
        assert np.isfinite(found["distance"]).all()
        assert found["rank"].tolist() == [*range(1, 6)] * 2 + [*range(1, 5)] * 2


def test_rank_measures_without_cameras_and_says_so(place, capsys):
    save(place / "query.npz", slice(0, None, 6))
    save(place / "gallery.npz", [n for n in range(60) if n % 6])
    plain, text = measured(capsys)
    assert plain["unknown_cameras"] == 60
    assert "60 images have no camera, so that nothing is left out" in " ".join(text.split())
    camids = np.arange(60) % 6
    save(place / "query.npz", slice(0, None, 6), camid=camids)
    save(place / "gallery.npz", [n for n in range(60) if n % 6], camid=camids)
    known, text = measured(capsys)
    assert known["mAP"] == plain["mAP"]
    assert known["unknown_cameras"] == 0
    assert "no camera" not in text


@pytest.mark.parametrize("unknown", [-1, np.nan])
def test_rank_counts_unknown_people_nowhere(unknown, place, capsys):
    pids = np.repeat(np.arange(10.0), 6)
    pids[[1, 7, 8, 20, 33]] = unknown
    pids[12] = unknown  # of a query
    query, gallery = np.arange(0, 60, 6), np.array([n for n in range(60) if n % 6])
    save(place / "query.npz", query, pid=pids)
    save(place / "gallery.npz", gallery, pid=pids)
    found, text = measured(capsys)
    assert found["junk"] == 5
    assert found["skipped_queries"] == 1
    assert "5 gallery images of unknown people (junk) left out" in " ".join(text.split())
    save(place / "query.npz", np.delete(query, 2), pid=pids)
    save(place / "gallery.npz", np.setdiff1d(gallery, [1, 7, 8, 20, 33]), pid=pids)
    assert measured(capsys)[0]["mAP"] == pytest.approx(found["mAP"], rel=1e-12)


def test_rank_without_known_pids_only_writes_matches(place, capsys):
    for name in ("query.npz", "gallery.npz"):
        save(place / name, pid=np.full(60, np.nan))
    assert failure(capsys, "rank", "query.npz", "gallery.npz") == (
        "error: the files have no pids to measure by; give --out for the matches"
    )
    main(["rank", "query.npz", "gallery.npz", "--out", "m.csv"])
    assert "wrote m.csv" in capsys.readouterr().out


def test_cluster_measures_agreement_over_known_people(place, capsys):
    pids = np.repeat(np.arange(10.0), 6)
    for name, values in (("all", pids), ("some", np.where(np.arange(60) % 6 < 2, np.nan, pids))):
        save(place / f"{name}.npz", pid=values, feature=make_features(persons=10, each=6)[0])
        words = ["--k1", "6", "--k2", "2", "--out", f"{name}.csv", "--json", f"{name}.json"]
        main(["cluster", f"{name}.npz", *words])
        found = json.loads((place / f"{name}.json").read_text())
        assert found["purity"] == found["ari"] == 1


def test_cluster_says_that_few_images_have_fewer_neighbours(place, capsys):
    features, _ = make_features(persons=4, each=6, noise=0.3, common=3)
    save(place / "few.npz", slice(0, 24), feature=features)
    main(["cluster", "few.npz", "--out", "a.csv"])
    told = capsys.readouterr().out
    assert "clusters 4\n" in told
    assert "note: 24 images are few: k1 is 6 and k2 is 3, where 240 or more have 30 and 6" in told
    main(["cluster", "few.npz", "--out", "b.csv", "--k1", "30", "--k2", "6"])
    told = capsys.readouterr().out
    assert "note: clustering found 1 clusters; --k1 6 --k2 3 suit 24 images" in told


PROGRAM = """
import sys
sys.modules["faiss"] = None
from reid_gen.cli.main import main
main(["cluster", "query.npz", "--k1", "6", "--out", "labels.csv"])
main(["rank", "query.npz", "gallery.npz", "--rerank"])
main(["cluster", "query.npz", "--neighbours", "flat", "--out", "never.csv"])
"""


def test_exact_commands_run_without_faiss(place):
    for name in ("query.npz", "gallery.npz"):
        save(place / name)
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert "zhong" in shown.stdout, shown.stderr
    assert "neighbours need faiss, which does not load" in shown.stderr
    assert "take exact" in shown.stderr
    assert not (place / "never.csv").exists()
