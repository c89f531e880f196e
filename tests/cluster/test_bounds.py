from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from reid_gen.cluster.knn import exact_cpu, subspace
from reid_gen.cluster.knn.bounds import FactorBounds
from reid_gen.cluster.knn.exact_cpu import exact_knn_cpu, fastest_plan
from reid_gen.cluster.knn.quantised import QuantisedBounds, product_bound, quantise
from reid_gen.cluster.knn.subspace import choose_subspace
from tests.cluster.features import BOUNDS, awkward_features, make_features, plan


def all_bounds(bounds, size, smallest):
    """Bounds of the products of all pairs, [N, N]."""
    tile = torch.empty(size, size, dtype=bounds.buffer_type)
    with ThreadPoolExecutor(2) as pool:
        bits = bounds.fill(tile, 0, 0, smallest, pool)
    if bits.dtype == np.int16:
        bits = bits.astype(np.int32) << 16
    return bits.view(np.float32).astype(np.float64)


def flat_features(size, width=128):
    """Features that extend in all directions alike, [N, D] float32."""
    features = np.random.default_rng(0).standard_normal((size, width)).astype(np.float32)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def narrow_features(size, width=128, noise=0.05):
    """Features that extend in five directions, and little in others, [N, D] float32."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((size, 5)) @ rng.standard_normal((5, width))
    features += noise * rng.standard_normal((size, width))
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("name", [*awkward_features(), "unit"])
@pytest.mark.parametrize("smallest", [False, True])
def test_fill_bounds_every_product(kind, name, smallest):
    unit = make_features(persons=40, each=6, size=333, noise=0.8)[0]
    features = {**awkward_features(), "unit": unit}[name]
    bounds = BOUNDS[kind](features)
    exact = features.astype(np.float64) @ features.T.astype(np.float64)
    found = all_bounds(bounds, len(features), smallest)
    assert (found + bounds.margin >= (-exact if smallest else exact)).all()


@pytest.mark.parametrize(
    ("kind", "excess"),
    [("bf16", 0.02), ("fp32", 1e-4), ("int8", 0.05), ("subspace bf16", 0.2),
     ("subspace fp32", 0.2)],
)  # fmt: skip
def test_fill_bounds_narrow_features_closely(kind, excess):
    features = narrow_features(300)
    bounds = BOUNDS[kind](features)
    exact = features.astype(np.float64) @ features.T.astype(np.float64)
    assert (all_bounds(bounds, 300, False) + bounds.margin <= exact + excess).all()


@pytest.mark.parametrize("name", awkward_features())
@pytest.mark.parametrize("sign", [1, -1])
def test_product_bound_bounds_every_product(name, sign):
    features = awkward_features()[name]
    rows = quantise(features)
    exact = features.astype(np.float64) @ features.T.astype(np.float64)
    found = [[product_bound(i, j, sign, rows) for j in range(250)] for i in range(250)]
    assert (np.array(found) + rows.margin >= sign * exact).all()


def test_choose_subspace_takes_one_that_features_fill():
    features = narrow_features(5000)
    subspace = choose_subspace(features, 10, torch.float32, 1.0)
    assert subspace.basis.shape == (128, 7)
    torch.testing.assert_close(subspace.basis.T @ subspace.basis, torch.eye(7), atol=1e-5, rtol=0)
    outside = features - features @ subspace.basis.numpy() @ subspace.basis.numpy().T
    assert np.linalg.norm(outside, axis=1).max() < 0.6
    assert choose_subspace(flat_features(5000), 10, torch.float32, 1.0) is None


def test_choose_subspace_adds_a_sieve_for_loose_bounds():
    tight, loose = (
        choose_subspace(narrow_features(20_000, noise=noise), 30, torch.float32, 1.0)
        for noise in (0.05, 0.25)
    )
    assert not tight.sieve
    assert loose.sieve


def test_choose_subspace_finds_a_neighbour_in_any_sample(monkeypatch):
    monkeypatch.setattr(subspace, "_SAMPLE", 64)  # has none of the 10 nearest of most rows
    assert choose_subspace(flat_features(5000), 10, torch.float32, 1.0) is None


def test_choose_subspace_leaves_small_sets_alone():
    assert choose_subspace(narrow_features(100), 10, torch.float32, 1.0) is None
    assert choose_subspace(narrow_features(3), 1, torch.float32, 1.0) is None


@pytest.mark.parametrize("int8", [True, False])
def test_fastest_plan_suits_features_and_processor(monkeypatch, int8):
    monkeypatch.setattr(exact_cpu, "has_native_int8", lambda: int8)
    assert fastest_plan(narrow_features(5000), 10).bounds.norm_column
    flat = fastest_plan(flat_features(5000), 10).bounds
    assert isinstance(flat, QuantisedBounds if int8 else FactorBounds)
    assert int8 or flat.rows.shape == (5000, 128)


def test_exact_knn_cpu_finds_the_same_in_a_chosen_subspace():
    features = narrow_features(5000, noise=0.12)
    index, cosine = exact_knn_cpu(features, 10)
    expected, expected_cosine = exact_knn_cpu(features, 10, plan("fp32", features))
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_array_equal(cosine, expected_cosine)
