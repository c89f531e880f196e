import faiss
import numpy as np
import pytest
import torch

from reid_gen.cluster.knn import exact_cpu, neighbours
from reid_gen.cluster.knn.exact_cpu import exact_knn_cpu, knn_among_candidates
from reid_gen.cluster.knn.exact_gpu import exact_knn_gpu
from reid_gen.cluster.knn.neighbours import METHODS, nearest
from reid_gen.errors import UserError
from tests.cluster.features import PLANS, awkward_features, make_features, plan


def brute_force(features, count):
    """Nearest neighbours by float64 dot products, ties by index."""
    exact = features.astype(np.float64)
    similarity = np.array([exact @ row for row in exact])
    order = np.argsort(-np.round(similarity, 12), axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(similarity, order, 1)


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("tile", [(512, 4096), (16, 64)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_exact_knn_cpu_equals_float64(monkeypatch, kind, tile, dtype):
    monkeypatch.setattr(exact_cpu, "ROWS", tile[0])
    monkeypatch.setattr(exact_cpu, "COLUMNS", tile[1])
    features = make_features(persons=40, each=7, noise=0.9)[0].astype(dtype)
    index, cosine = exact_knn_cpu(features, 20, plan(kind, features))
    expected, expected_cosine = brute_force(features, 20)
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(cosine, expected_cosine, atol=1e-6)


@pytest.mark.parametrize("kind", PLANS)
def test_exact_knn_cpu_orders_duplicates_by_index(kind):
    features = make_features(persons=30, each=8)[0]
    features[20:220] = features[5]  # more ties than fit in a candidate list
    index, _ = exact_knn_cpu(features, 12, plan(kind, features))
    np.testing.assert_array_equal(index, brute_force(features, 12)[0])
    assert index[100].tolist() == [5, *range(20, 31)]


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("name", awkward_features())
def test_exact_knn_cpu_equals_float64_for_any_rows(monkeypatch, kind, name):
    monkeypatch.setattr(exact_cpu, "ROWS", 32)
    monkeypatch.setattr(exact_cpu, "COLUMNS", 96)
    features = awkward_features()[name]
    index, cosine = exact_knn_cpu(features, 12, plan(kind, features))
    exact = features.astype(np.float64)
    expected = np.sort(exact @ exact.T, axis=1)[:, ::-1][:, :12]
    scale = np.square(exact).sum(axis=1).max()
    np.testing.assert_allclose(cosine, expected, atol=1e-14 * scale)
    found = np.einsum("nd,nkd->nk", exact, exact[index])
    np.testing.assert_allclose(found, cosine, atol=1e-14 * scale)
    # Equal products come by increasing index.
    assert (np.diff(index)[np.diff(cosine) == 0] > 0).all()


@pytest.mark.parametrize("kind", PLANS)
def test_exact_knn_cpu_finds_the_least_similar_rows(monkeypatch, kind):
    monkeypatch.setattr(exact_cpu, "ROWS", 32)
    monkeypatch.setattr(exact_cpu, "COLUMNS", 96)
    features = make_features(persons=30, each=8, noise=0.9)[0]
    index, cosine = exact_knn_cpu(features, 5, plan(kind, features), smallest=True)
    similarity = features.astype(np.float64) @ features.T.astype(np.float64)
    expected = np.argsort(np.round(similarity, 12), axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(index, expected)
    expected_cosine = np.take_along_axis(similarity, expected, axis=1)
    np.testing.assert_allclose(cosine, expected_cosine, atol=1e-12)


def test_nearest_finds_100_neighbours():
    features = make_features(persons=60, each=8)[0]
    features[20:160] = features[5]  # float32 alone would not order these by index
    index = nearest(features, 100).index
    expected = brute_force(features, 100)[0]
    # Rows that brute force, too, starts with the image itself.
    rows = np.flatnonzero(expected[:, 0] == np.arange(len(features)))
    assert len(rows) > 300
    np.testing.assert_array_equal(index[rows], expected[rows])


@pytest.mark.parametrize("extra_candidates", [1, 8, 32])
def test_exact_knn_gpu_equals_exact_knn_cpu(extra_candidates):
    features = make_features(persons=40, each=7, noise=0.9)[0]
    features[20:80] = features[5]  # more ties than candidates
    index, cosine = exact_knn_gpu(torch.device("cpu"), features, 20, extra_candidates)
    expected, expected_cosine = exact_knn_cpu(features, 20)
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(cosine, expected_cosine, atol=1e-12)


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize(("size", "count"), [(60, 60), (200, 80)])
def test_exact_knn_cpu_ranks_negative_products(kind, size, count):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(size, 3)).astype(np.float32)  # 3 dimensions: many are negative
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    index, cosine = exact_knn_cpu(features, count, plan(kind, features))
    assert cosine.min() < (-0.9 if count == size else 0.3)
    np.testing.assert_array_equal(index, brute_force(features, count)[0])


def test_knn_among_candidates_equals_float64():
    features = make_features(persons=20, each=5)[0]
    rng = np.random.default_rng(0)
    candidates = rng.integers(0, 100, (100, 30))  # with duplicates
    index, cosine = knn_among_candidates(features, candidates, 8)
    exact = features.astype(np.float64)
    for i, row_candidates in enumerate(candidates):
        similarity = {j: float(np.dot(exact[i], exact[j])) for j in set(row_candidates)}
        expected = sorted(similarity, key=lambda j: (-similarity[j], j))[:8]
        assert index[i].tolist() == expected
        np.testing.assert_allclose(cosine[i], [similarity[j] for j in expected], atol=1e-12)


def test_knn_among_candidates_fills_up_with_the_image():
    features = make_features(persons=4, each=5)[0]
    candidates = np.repeat(np.arange(20)[:, None], 6, axis=1)
    candidates[:, 0] = 3
    index, cosine = knn_among_candidates(features, candidates, 4)
    assert index[7].tolist() == [7, 3, 7, 7]
    np.testing.assert_allclose(cosine[7, [0, 2, 3]], 1, atol=1e-6)


def test_exact_knn_cpu_multiplies_in_full_float32(monkeypatch):
    features, precisions, multiply = make_features(persons=3, each=2)[0], [], torch.mm

    def mm(*factors, out):
        precisions.append(torch.backends.mkldnn.matmul.fp32_precision)
        return multiply(*factors, out=out)

    monkeypatch.setattr(torch, "mm", mm)
    torch.set_float32_matmul_precision("medium")
    try:
        exact_knn_cpu(features, 2, plan("subspace fp32", features))
    finally:
        torch.set_float32_matmul_precision("highest")
    assert len(precisions) >= 2
    assert set(precisions) == {"ieee"}


def test_exact_knn_cpu_refuses_a_count_out_of_range():
    features = make_features(persons=3, each=2)[0]
    with pytest.raises(ValueError, match=r"count must be in 1..6, got 7"):
        exact_knn_cpu(features, 7)


@pytest.mark.parametrize("kind", PLANS)
def test_exact_knn_cpu_reads_memory_mapped_features(tmp_path, kind):
    features = make_features(persons=20, each=5)[0].astype(np.float16)
    np.save(tmp_path / "f.npy", features)
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    expected = exact_knn_cpu(features, 9, plan(kind, features))[0]
    np.testing.assert_array_equal(exact_knn_cpu(mapped, 9, plan(kind, mapped))[0], expected)


def test_nearest_reads_memory_mapped_features(tmp_path):
    features = make_features(persons=20, each=5)[0].astype(np.float16)
    np.save(tmp_path / "f.npy", features)
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    np.testing.assert_array_equal(nearest(mapped, 9).index, nearest(features, 9).index)


@pytest.mark.parametrize("method", list(METHODS))
def test_nearest_puts_the_image_first_and_measures_recall(monkeypatch, method):
    monkeypatch.setattr(neighbours, "_MIN_IVF_IMAGES", 100)
    features = make_features(persons=60, each=8)[0]
    result = nearest(features, 10, method)
    np.testing.assert_array_equal(result.index[:, 0], np.arange(480))
    assert result.recall == 1 if METHODS[method].exact else 0.8 < result.recall <= 1
    exact = nearest(features, 10)
    hits = [len(np.intersect1d(a, b)) for a, b in zip(result.index, exact.index, strict=True)]
    assert np.mean(hits) / 10 == pytest.approx(result.recall, abs=0.01)


def test_nearest_flat_uses_all_gpus_that_faiss_finds(monkeypatch):
    features, moved_indexes = make_features(persons=5, each=4)[0], []
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(
        faiss, "index_cpu_to_all_gpus", lambda index: moved_indexes.append(index) or index
    )
    result = nearest(features, 3, "flat")
    assert len(moved_indexes) == 1
    np.testing.assert_array_equal(result.index, nearest(features, 3).index)


def test_nearest_lists_the_methods_for_an_unknown_one():
    with pytest.raises(UserError, match="unknown neighbours 'lsh'; known: exact, flat, ivf, hnsw"):
        nearest(make_features(persons=3, each=2)[0], 2, "lsh")
