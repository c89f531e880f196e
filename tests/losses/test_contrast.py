import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_gen.losses.contrast import alignment, multi_positive_nce, target_entropy
from reid_gen.losses.groups import GroupedFeatures, group_nce
from tests.reference import losses as reference


def random_case(seed, queries=5, columns=9):
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.rand(queries, columns, generator=generator, dtype=torch.float64) * 2 - 1
    positive = torch.rand(queries, columns, generator=generator, dtype=torch.float64)
    positive = torch.where(positive > 0.6, positive, 0.0)
    candidate = torch.rand(queries, columns, generator=generator) > 0.2
    return similarity, positive, candidate


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["own", "shared"]))
def test_multi_positive_nce_equals_reference(seed, denominator):
    similarity, positive, candidate = random_case(seed)
    loss = multi_positive_nce(
        similarity, positive, candidate, temperature=0.07, denominator=denominator
    )
    expected = reference.multi_positive(similarity, positive, candidate, 0.07, denominator)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("denominator", ["own", "shared"])
def test_multi_positive_nce_with_one_positive_is_info_nce(denominator):
    similarity, _, _ = random_case(1)
    target = [0, 3, 6, 2, 8]
    positive = torch.nn.functional.one_hot(torch.tensor(target), 9).bool()
    loss = multi_positive_nce(similarity, positive, temperature=0.1, denominator=denominator)
    assert loss.item() == pytest.approx(reference.info_nce(similarity, target, 0.1), rel=1e-10)


@pytest.mark.parametrize("denominator", ["own", "shared"])
def test_multi_positive_nce_without_positives_or_negatives(denominator):
    similarity = torch.zeros(2, 3, requires_grad=True)
    positive = torch.tensor([[False, False, False], [True, True, True]])
    loss = multi_positive_nce(similarity, positive, temperature=0.1, denominator=denominator)
    loss.backward()
    assert torch.isfinite(similarity.grad).all()
    assert similarity.grad[0].abs().sum() == 0
    if denominator == "own":
        assert loss.item() == 0


def test_multi_positive_nce_computes_bfloat16_in_float32():
    similarity, positive, candidate = random_case(2)
    low = similarity.bfloat16()
    loss = multi_positive_nce(low, positive, candidate, temperature=0.07)
    expected = multi_positive_nce(low.double(), positive, candidate, temperature=0.07)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_multi_positive_nce_refuses_a_temperature_of_zero():
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        multi_positive_nce(torch.zeros(1, 2), torch.ones(1, 2), temperature=0)


def test_multi_positive_nce_multiplies_by_sample_weight():
    similarity, positive, _ = random_case(3)
    weights = torch.tensor([0.0, 1.0, 0.5, 2.0, 0.0], dtype=torch.float64)
    loss = multi_positive_nce(similarity, positive, temperature=0.1, sample_weight=weights)
    losses = [
        multi_positive_nce(similarity[q : q + 1], positive[q : q + 1], temperature=0.1)
        for q in range(5)
    ]
    assert loss.item() == pytest.approx(
        sum(w * value for w, value in zip(weights, losses, strict=True)).item() / 5
    )


def random_groups(seed, sizes=(1, 4, 2, 3)):
    generator = torch.Generator().manual_seed(seed)
    group = torch.tensor([number for number, size in enumerate(sizes) for _ in range(size)])
    features = torch.randn(len(group), 6, generator=generator, dtype=torch.float64)
    image = torch.randint(0, 8, (len(group),), generator=generator)  # with duplicates
    return GroupedFeatures(torch.nn.functional.normalize(features, dim=1), group, image)


@pytest.mark.parametrize("seed", range(5))
def test_group_nce_is_stable_rep_minus_its_lower_bound(seed):
    batch = random_groups(seed)
    loss = group_nce(batch, batch, temperature=0.1).item()
    stable_rep, bound = reference.stable_rep(batch.feature, batch.group, batch.image, 0.1)
    supcon = reference.supcon_out(batch.feature, batch.group, batch.image, 0.1)
    assert loss == pytest.approx(stable_rep - bound, rel=1e-9)
    assert supcon == pytest.approx(stable_rep, rel=1e-9)


def test_target_entropy_is_reached_when_softmax_equals_target():
    positive = torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]).double()
    similarity = torch.log(positive.clamp(min=1e-30))
    loss = multi_positive_nce(similarity, positive, temperature=1.0, denominator="shared")
    assert loss.item() == pytest.approx(target_entropy(positive).item(), abs=1e-12)


def test_multi_positive_nce_gradient_is_softmax_minus_target():
    similarity, positive, _ = random_case(4)
    similarity.requires_grad_()
    multi_positive_nce(similarity, positive, temperature=1.0, denominator="shared").backward()
    total = positive.sum(1, keepdim=True)
    expected = (similarity.softmax(1) * (total > 0) - positive / total.clamp(min=1e-300)) / 5
    torch.testing.assert_close(similarity.grad, expected.detach())


def test_alignment_is_the_squared_distance_of_unit_features():
    first, second = random_groups(7).feature, random_groups(8).feature
    torch.testing.assert_close(alignment(first, second), ((first - second) ** 2).sum(1))
