import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_gen.losses.contrast import multi_positive_nce
from tests.reference.losses import info_nce, multi_positive


def random_case(seed, queries=5, columns=9):
    source = torch.Generator().manual_seed(seed)
    similarity = torch.rand(queries, columns, generator=source, dtype=torch.float64) * 2 - 1
    positive = torch.rand(queries, columns, generator=source, dtype=torch.float64)
    positive = torch.where(positive > 0.6, positive, 0.0)
    candidate = torch.rand(queries, columns, generator=source) > 0.2
    return similarity, positive, candidate


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["own", "shared"]))
def test_it_equals_the_double_loop_with_weighted_positives(seed, denominator):
    similarity, positive, candidate = random_case(seed)
    loss = multi_positive_nce(
        similarity, positive, candidate, temperature=0.07, denominator=denominator
    )
    slow = multi_positive(similarity, positive, candidate, 0.07, denominator)
    assert loss.item() == pytest.approx(slow, rel=1e-10)


@pytest.mark.parametrize("denominator", ["own", "shared"])
def test_with_one_positive_it_is_info_nce(denominator):
    similarity, _, _ = random_case(1)
    target = [0, 3, 6, 2, 8]
    positive = torch.nn.functional.one_hot(torch.tensor(target), 9).bool()
    loss = multi_positive_nce(similarity, positive, temperature=0.1, denominator=denominator)
    assert loss.item() == pytest.approx(info_nce(similarity, target, 0.1), rel=1e-10)


@pytest.mark.parametrize("denominator", ["own", "shared"])
def test_a_query_without_positives_or_negatives_gives_no_nan(denominator):
    similarity = torch.zeros(2, 3, requires_grad=True)
    positive = torch.tensor([[False, False, False], [True, True, True]])
    loss = multi_positive_nce(similarity, positive, temperature=0.1, denominator=denominator)
    loss.backward()
    assert torch.isfinite(similarity.grad).all()
    assert similarity.grad[0].abs().sum() == 0
    if denominator == "own":
        assert loss.item() == 0


def test_low_precision_input_is_computed_in_float32():
    similarity, positive, candidate = random_case(2)
    low = similarity.bfloat16()
    loss = multi_positive_nce(low, positive, candidate, temperature=0.07)
    exact = multi_positive_nce(low.double(), positive, candidate, temperature=0.07)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        multi_positive_nce(torch.zeros(1, 2), torch.ones(1, 2), temperature=0)
