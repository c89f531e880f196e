import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_gen.losses.contrast import alignment, multi_positive_nce, target_entropy
from reid_gen.losses.groups import GroupedFeatures, group_nce
from tests.reference.losses import info_nce, multi_positive, stable_rep, supcon_out


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


def test_what_a_query_is_worth_multiplies_its_loss():
    similarity, positive, _ = random_case(3)
    sample_weight = torch.tensor([0.0, 1.0, 0.5, 2.0, 0.0], dtype=torch.float64)
    whole = multi_positive_nce(similarity, positive, temperature=0.1, sample_weight=sample_weight)
    each = [
        multi_positive_nce(similarity[q : q + 1], positive[q : q + 1], temperature=0.1)
        for q in range(5)
    ]
    assert whole.item() == pytest.approx(
        sum(w * e for w, e in zip(sample_weight, each, strict=True)).item() / 5
    )


def members(seed, sizes=(1, 4, 2, 3)):
    source = torch.Generator().manual_seed(seed)
    group = torch.tensor([number for number, size in enumerate(sizes) for _ in range(size)])
    features = torch.randn(len(group), 6, generator=source, dtype=torch.float64)
    image = torch.randint(0, 8, (len(group),), generator=source)  # some show the same image
    return GroupedFeatures(torch.nn.functional.normalize(features, dim=1), group, image)


@pytest.mark.parametrize("seed", range(5))
def test_groups_equal_stable_rep_less_its_floor_and_supcon(seed):
    some = members(seed)
    found = group_nce(some, some, temperature=0.1).item()
    slow, floor = stable_rep(some.feature, some.group, some.image, 0.1)
    assert found == pytest.approx(slow - floor, rel=1e-9)
    assert supcon_out(some.feature, some.group, some.image, 0.1) == pytest.approx(slow, rel=1e-9)


def test_the_floor_is_reached_when_the_softmax_is_the_target():
    positive = torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]).double()
    similarity = torch.log(positive.clamp(min=1e-30))
    loss = multi_positive_nce(similarity, positive, temperature=1.0, denominator="shared")
    assert loss.item() == pytest.approx(target_entropy(positive).item(), abs=1e-12)


def test_the_gradient_for_logits_is_softmax_less_target():
    similarity, positive, _ = random_case(4)
    similarity.requires_grad_()
    multi_positive_nce(similarity, positive, temperature=1.0, denominator="shared").backward()
    total = positive.sum(1, keepdim=True)
    wanted = (similarity.softmax(1) * (total > 0) - positive / total.clamp(min=1e-300)) / 5
    torch.testing.assert_close(similarity.grad, wanted.detach())


def test_alignment_is_the_squared_distance_of_unit_features():
    one, other = members(7).feature, members(8).feature
    torch.testing.assert_close(alignment(one, other), ((one - other) ** 2).sum(1))
