import faiss
import numpy as np
import pytest
import torch

from reid_gen.cluster.knn import exact_cpu as certified
from reid_gen.cluster.knn import neighbours
from reid_gen.cluster.knn.exact_cpu import nearest_among, nearest_certified
from reid_gen.cluster.knn.exact_gpu import nearest_on
from reid_gen.cluster.knn.neighbours import METHODS, nearest
from reid_gen.errors import UserError
from tests.cluster.features import people

PRECISIONS = [torch.bfloat16, torch.float32]


def brute(features, count):
    """Float64 dot products one after the other, equal ones by number."""
    exact = features.astype(np.float64)
    similarity = np.array([[float(np.dot(a, b)) for b in exact] for a in exact])
    order = np.argsort(-np.round(similarity, 12), axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(similarity, order, 1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("tile", [(1024, 4096), (16, 64)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_certified_neighbours_are_those_of_float64(monkeypatch, precision, tile, dtype):
    monkeypatch.setattr(certified, "ROWS", tile[0])
    monkeypatch.setattr(certified, "COLUMNS", tile[1])
    features = people(persons=40, each=7, noise=0.9)[0].astype(dtype)
    index, cosine = nearest_certified(features, 20, precision)
    wanted, similarity = brute(features, 20)
    np.testing.assert_array_equal(index, wanted)
    np.testing.assert_allclose(cosine, similarity, atol=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_many_copies_are_told_apart_by_their_number(precision):
    features = people(persons=30, each=8)[0]
    features[20:220] = features[5]  # more ties than there is room for
    index, _ = nearest_certified(features, 12, precision)
    np.testing.assert_array_equal(index, brute(features, 12)[0])
    assert index[100].tolist() == [5, *range(20, 31)]


def test_more_neighbours_than_usual_are_found_too():
    features = people(persons=60, each=8)[0]
    features[20:160] = features[5]  # which float32 alone would not keep in order
    found = nearest(features, 100)
    wanted = brute(features, 100)[0]
    rows = np.flatnonzero(wanted[:, 0] == np.arange(len(features)))
    assert len(rows) > 300
    np.testing.assert_array_equal(found.index[rows], wanted[rows])


@pytest.mark.parametrize("spare", [1, 8, 32])
def test_on_a_device_neighbours_are_those_of_float64_too(spare):
    features = people(persons=40, each=7, noise=0.9)[0]
    features[20:80] = features[5]  # more ties than are spare
    index, cosine = nearest_on(torch.device("cpu"), features, 20, spare)
    wanted, similarity = nearest_certified(features, 20)
    np.testing.assert_array_equal(index, wanted)
    np.testing.assert_allclose(cosine, similarity, atol=1e-12)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("size", "count"), [(60, 60), (200, 80)])
def test_products_below_zero_are_ranked_too(precision, size, count):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(size, 3)).astype(np.float32)  # few dimensions: many are far apart
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    index, cosine = nearest_certified(features, count, precision)
    assert cosine.min() < (-0.9 if count == size else 0.3)
    np.testing.assert_array_equal(index, brute(features, count)[0])


def test_among_candidates_the_best_are_those_of_float64():
    features = people(persons=20, each=5)[0]
    rng = np.random.default_rng(0)
    candidates = rng.integers(0, 100, (100, 30))  # some twice
    index, cosine = nearest_among(features, candidates, 8)
    exact = features.astype(np.float64)
    for row, listed in enumerate(candidates):
        similarity = {mate: float(np.dot(exact[row], exact[mate])) for mate in set(listed)}
        wanted = sorted(similarity, key=lambda mate: (-similarity[mate], mate))[:8]
        assert index[row].tolist() == wanted
        np.testing.assert_allclose(cosine[row], [similarity[mate] for mate in wanted], atol=1e-12)


def test_an_image_stands_in_for_candidates_that_are_missing():
    features = people(persons=4, each=5)[0]
    candidates = np.repeat(np.arange(20)[:, None], 6, axis=1)
    candidates[:, 0] = 3
    index, cosine = nearest_among(features, candidates, 4)
    assert index[7].tolist() == [7, 3, 7, 7]
    np.testing.assert_allclose(cosine[7, [0, 2, 3]], 1, atol=1e-6)


def test_a_count_out_of_range_is_refused():
    features = people(persons=3, each=2)[0]
    with pytest.raises(ValueError, match=r"count must be in 1..6, got 7"):
        nearest_certified(features, 7)


def test_memory_mapped_features_are_read(tmp_path):
    features = people(persons=20, each=5)[0].astype(np.float16)
    np.save(tmp_path / "f.npy", features)
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    np.testing.assert_array_equal(nearest(mapped, 9).index, nearest(features, 9).index)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_puts_the_image_first_and_says_how_good_it_is(monkeypatch, method):
    monkeypatch.setattr(neighbours, "_FEW", 100)
    features = people(persons=60, each=8)[0]
    found = nearest(features, 10, method)
    np.testing.assert_array_equal(found.index[:, 0], np.arange(480))
    assert found.recall == 1 if METHODS[method].exact else 0.8 < found.recall <= 1
    exact = nearest(features, 10)
    shared = [len(np.intersect1d(a, b)) for a, b in zip(found.index, exact.index, strict=True)]
    assert np.mean(shared) / 10 == pytest.approx(found.recall, abs=0.01)


def test_faiss_searches_on_gpus_that_it_finds(monkeypatch):
    features, moved = people(persons=5, each=4)[0], []
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "index_cpu_to_all_gpus", lambda index: moved.append(index) or index)
    found = nearest(features, 3, "flat")
    assert len(moved) == 1
    np.testing.assert_array_equal(found.index, nearest(features, 3).index)


def test_unknown_neighbours_list_the_known_ones():
    with pytest.raises(UserError, match="unknown neighbours 'lsh'; known: exact, flat, ivf, hnsw"):
        nearest(people(persons=3, each=2)[0], 2, "lsh")
