import json

import numpy as np
import pytest
from pyarrow import parquet

from reid_gen.cli.main import main
from reid_gen.cluster.knn.topk import best_matches, matches_from_distances, similarities
from reid_gen.data.tables import write_table
from reid_gen.evaluation.ranking import evaluate_ranking
from reid_gen.evaluation.rerank import RerankedDistances, rerank
from tests.cli.conftest import failure
from tests.cluster.features import make_features

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path):
    features, pids = make_features(persons=20, each=8, noise=0.5)
    camids = np.tile(np.arange(8) % 4, 20)
    keys = np.array([f"{n:03d}.jpg" for n in range(len(pids))])
    query = np.arange(len(pids)) % 8 == 0
    for name, rows in (("all", np.full(len(pids), True)), ("query", query), ("gallery", ~query)):
        columns = {"key": keys, "feature": features, "pid": pids, "camid": camids}
        chosen = {column: values[rows] for column, values in columns.items()}
        for suffix in (".npz", ".parquet"):
            write_table(chosen, tmp_path / f"{name}{suffix}")
        np.save(tmp_path / f"{name}.npy", features[rows])
    return tmp_path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_cluster_reads_features_from_any_file(files, capsys, suffix):
    out = files / "labels.parquet"
    words = ["--k1", "10", "--k2", "3", "--out", str(out), "--json", str(files / "summary.json")]
    main(["cluster", str(files / f"all{suffix}"), *words])
    assert json.loads((files / "summary.json").read_text())["clusters"] == 20
    table = parquet.read_table(out).to_pydict()
    assert len(set(table["label"])) == 20
    assert table["key"][1] == ("1" if suffix == ".npy" else "001.jpg")
    printed = capsys.readouterr().out
    assert "clusters 20" in printed
    assert ("ari 1.000" in printed) == (suffix != ".npy")


@pytest.mark.parametrize("algorithm", ["hdbscan", "agglomerative"])
def test_cluster_runs_other_algorithms_and_approximate_search(files, capsys, algorithm):
    out = files / "labels.csv"
    words = ["--k1", "10", "--k2", "3", "--neighbours", "ivf", "--out", str(out)]
    words += ["--algorithm", algorithm]
    main(["cluster", str(files / "all.npz"), *words])
    assert out.read_text().startswith("key,label\n000.jpg,0\n")
    assert len(out.read_text().splitlines()) == 161


def test_cluster_refuses_eps_with_hdbscan(files, capsys):
    words = ["cluster", files / "all.npz", "--out", files / "x.npz"]
    message = failure(capsys, *words, "--algorithm", "hdbscan", "--eps", "0.5", code=2)
    assert "--eps 0.5 has no effect with --algorithm hdbscan; leave it out" in message
    assert "1.0 is not in the range 0<x<1" in failure(capsys, *words, "--eps", "1", code=2)


def test_rank_takes_a_single_query(files, capsys):
    features = np.load(files / "query.npy")
    np.save(files / "one.npy", features[:1])
    out = files / "ranks.npz"
    main(["rank", str(files / "one.npy"), str(files / "gallery.npy"), "--out", str(out)])
    assert np.load(out)["rank"].tolist() == list(range(1, 11))


def test_rank_writes_matches_and_metrics(files, capsys):
    out = files / "ranks.npz"
    words = [str(files / "query.npz"), str(files / "gallery.parquet")]
    summary = files / "scores.json"
    main(["rank", *words, "--out", str(out), "--top", "3", "--rerank", "--json", str(summary)])
    assert [ranking["reranking"] for ranking in json.loads(summary.read_text())] == [
        "none",
        "zhong",
    ]
    printed = capsys.readouterr().out
    assert "zhong" in printed
    assert "mAP" in printed
    ranks = np.load(out)
    assert ranks["rank"].tolist() == [1, 2, 3] * 20
    assert set(ranks["query"]) == {f"{n:03d}.jpg" for n in range(0, 160, 8)}
    assert np.all(np.diff(ranks["distance"].reshape(20, 3)) >= 0)


def test_best_matches_equals_a_full_sort_for_any_shard_size(monkeypatch):
    from reid_gen.cluster.knn import topk as module

    features, _ = make_features(persons=20, each=8)
    features[40:44] = features[3]  # ties
    query, gallery = features[::8], features
    expected = np.argsort(1 - query @ gallery.T, axis=1, kind="stable")[:, :9]
    for shard in (1000, 7):
        monkeypatch.setattr(module, "_SHARD", shard)
        np.testing.assert_array_equal(best_matches(query, gallery, 9).index, expected)
    reranked = matches_from_distances(RerankedDistances(query, gallery), 5)
    distance = rerank(query, gallery)
    order = np.argsort(distance, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(reranked.index, order)
    assert best_matches(query, gallery[:4], 9).index.shape == (20, 4)


def test_evaluate_ranking_takes_half_precision_galleries(monkeypatch):
    from reid_gen.cluster.knn import topk as module

    features, pids = make_features(persons=20, each=8)
    half = features.astype(np.float16)
    monkeypatch.setattr(module, "_SHARD", 7)
    np.testing.assert_allclose(
        similarities(features[:5], half), features[:5] @ half.astype(np.float32).T, atol=1e-6
    )
    camids = np.full(len(pids), -1)
    plain, small = (
        evaluate_ranking(features, gallery, pids, pids, camids, camids, block=block)
        for gallery, block in ((half.astype(np.float32), 256), (half, 3))
    )
    assert small.mean_ap == pytest.approx(plain.mean_ap, abs=1e-9)


def test_cluster_and_rank_name_errors_in_feature_files(files, capsys, tmp_path):
    def fails(name, *words):
        return failure(capsys, "cluster", files / name, "--out", files / "x.npz", *words)

    assert "none.npz does not exist; check FEATURES" in fails("none.npz")
    (files / "text.npz").write_text("x")
    assert "is not a readable feature file" in fails("text.npz")
    (files / "x.txt").write_text("x")
    assert "must end in .npy, .npz, .parquet" in fails("x.txt")
    (files / "x.txt").unlink()
    np.savez(files / "other.npz", vectors=np.zeros((3, 2)))
    assert "has no column 'feature', only vectors" in fails("other.npz")
    np.savez(files / "short.npz", feature=np.zeros((3, 2), np.float32), pid=np.zeros(2))
    assert "pid has 2 rows and feature has 3" in fails("short.npz")
    np.save(files / "flat.npy", np.zeros(3, np.float32))
    assert "floating-point numbers [N, D]" in fails("flat.npy")
    np.save(files / "long.npy", 3 * make_features(persons=9, each=9)[0])
    assert "rows of features are not of length 1" in fails("long.npy")
    main(["cluster", str(files / "long.npy"), "--normalise", "--out", str(files / "y.npz")])
    message = failure(capsys, "cluster", files / "all.npz", "--out", files / "x.txt")
    assert "must end in .csv or .npz or .parquet" in message
    message = failure(capsys, "cluster", files / "all.npz", "--out", files / "y.npz")
    assert "exists; give --force" in message
    np.save(files / "narrow.npy", make_features(persons=3, each=3, size=8)[0])
    message = failure(capsys, "rank", files / "query.npz", files / "narrow.npy", "--out", "z.npz")
    assert "have length 32, those of" in message
    message = failure(capsys, "rank", files / "query.npy", files / "gallery.npz")
    assert "have no pids, so nothing can be evaluated; give --out" in message
