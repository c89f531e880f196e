"""Contrastive terms, compared with loops over Python floats."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reid_gen.memory.bank import MemoryBank
from reid_gen.training.contrastive_terms import (
    ContrastBatch,
    ContrastTerms,
    MixupFeatures,
    Pairs,
    sample_negatives,
    sample_positives,
)
from tests.reference.losses import gcl_pair, info_nce

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, -1, -1])
ROWS = torch.tensor([0, 3, 5])
TERMS = (
    *("prototype", "instance", "view_prototype", "view_instance", "view_cluster", "real_cluster"),
    *("view_align", "mixup", "hard_prototype", "weak_view"),
)


def positives_of(rows):
    return MemoryBank(torch.zeros(9, 4), LABELS, 0.2, 0.1).instance_positives(rows)


def row_lists(mask):
    return [row.nonzero().flatten().tolist() for row in mask]


@pytest.fixture
def bank():
    torch.manual_seed(0)
    return MemoryBank(F.normalize(torch.randn(9, 4), dim=1), LABELS, 0.2, 0.1)


@pytest.fixture
def batch():
    torch.manual_seed(1)
    image, view = F.normalize(torch.randn(2, 3, 4), dim=2)
    return ContrastBatch(image, ROWS, view, torch.arange(3))


def compute_terms(bank, batch, pairs=None, seed=2):
    torch.manual_seed(seed)
    return ContrastTerms(bank, 0.3, dict.fromkeys(TERMS, 1.0), pairs or Pairs())(batch)


def test_sample_negatives_takes_other_labels_and_outliers():
    negatives = sample_negatives(positives_of(torch.tensor([0, 7])), None)
    assert negatives[0].tolist() == [False] * 3 + [True] * 6
    assert negatives[1].tolist() == [True] * 7 + [False, True]


def test_sample_negatives_returns_at_most_those_that_exist():
    torch.manual_seed(0)
    assert sample_negatives(positives_of(ROWS), 2).sum(1).tolist() == [2, 2, 2]
    # GCL's release fails here: a cluster may leave fewer negatives than requested.
    assert sample_negatives(positives_of(ROWS), 7).sum(1).tolist() == [6, 7, 7]
    assert sample_negatives(positives_of(ROWS), 8192).sum(1).tolist() == [6, 7, 7]


def test_sample_positives_stays_in_the_cluster():
    torch.manual_seed(0)
    positives = positives_of(torch.tensor([0, 8]))
    samples = {tuple(sample_positives(positives).tolist()) for _ in range(40)}
    assert {clustered for clustered, _ in samples} == {0, 1, 2}
    assert {outlier for _, outlier in samples} == {8}


def test_pair_terms_equal_gcls_release(bank, batch):
    pairs = Pairs(negatives=3, positive_from_batch=False, own_negatives=False)
    terms = compute_terms(bank, batch, pairs)
    torch.manual_seed(2)
    negatives = row_lists(sample_negatives(positives_of(ROWS), 3))
    image_positive, view_positive = (
        bank.features[sample_positives(positives_of(ROWS))] for _ in range(2)
    )
    image, view, memory = batch.image, batch.view, bank.features
    expected = gcl_pair(view, memory[ROWS], memory, negatives, 0.3)
    assert terms["view_instance"].item() == pytest.approx(expected, rel=1e-5)
    expected = gcl_pair(view, view_positive, memory, negatives, 0.3)
    assert terms["view_cluster"].item() == pytest.approx(expected, rel=1e-5)
    # The real image is contrasted with its positive, but with the view's negatives.
    expected = 0.0
    for n in range(3):
        positive = torch.exp(image[n] @ image_positive[n] / 0.3)
        negative = torch.exp(memory[negatives[n]] @ view[n] / 0.3).sum()
        expected -= torch.log(positive / (positive + negative)).item() / 3
    assert terms["real_cluster"].item() == pytest.approx(expected, rel=1e-5)


def test_pair_terms_use_batch_positives_and_own_negatives(bank, batch):
    terms = compute_terms(bank, batch)
    negatives = row_lists(sample_negatives(positives_of(ROWS), None))
    expected = gcl_pair(batch.view, batch.image, bank.features, negatives, 0.3)
    assert terms["view_instance"].item() == pytest.approx(expected, rel=1e-5)
    torch.manual_seed(2)
    image_positive = bank.features[sample_positives(positives_of(ROWS))]
    expected = gcl_pair(batch.image, image_positive, bank.features, negatives, 0.3)
    assert terms["real_cluster"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("positive_from_batch", [True, False])
def test_pair_terms_backpropagate_into_batch_positives(bank, batch, positive_from_batch):
    batch = replace(batch, image=batch.image.clone().requires_grad_())
    terms = compute_terms(bank, batch, Pairs(positive_from_batch=positive_from_batch))
    assert terms["view_instance"].requires_grad == positive_from_batch


def test_view_prototype_contrasts_views_with_their_images(bank, batch):
    partial = replace(batch, view=batch.view[:2], view_of=torch.tensor([2, 0]))
    term = compute_terms(bank, partial)["view_prototype"]
    views_as_images = ContrastBatch(batch.view[:2], ROWS[[2, 0]])
    expected = compute_terms(bank, views_as_images)["prototype"]
    assert term.item() == pytest.approx(expected.item())


def test_terms_of_views_are_absent_without_views(bank, batch):
    terms = compute_terms(bank, ContrastBatch(batch.image, ROWS))
    assert set(terms) == {"prototype", "hard_prototype", "instance"}


def test_terms_are_finite_for_a_batch_of_one_cluster(bank, batch):
    terms = compute_terms(bank, replace(batch, index=torch.tensor([0, 1, 2])))
    assert set(terms) == set(TERMS) - {"mixup", "weak_view"}
    assert all(torch.isfinite(value) for value in terms.values())


def test_pair_terms_are_zero_without_negatives(batch):
    torch.manual_seed(0)
    features = F.normalize(torch.randn(9, 4), dim=1)
    bank = MemoryBank(features, torch.zeros(9, dtype=torch.int64), 0.2, 0.1)
    terms = compute_terms(bank, batch, Pairs(negatives=4))
    assert all(torch.isfinite(value) for value in terms.values())
    assert terms["view_instance"].item() == 0


def test_mixup_is_cross_entropy_with_both_clusters(bank, batch):
    share = torch.tensor([0.8, 0.6, 0.5])
    rows = torch.tensor([[0, 3], [5, 1], [3, 4]])  # the last pair shares a cluster
    mixup = MixupFeatures(batch.image, rows, share)
    term = compute_terms(bank, ContrastBatch(batch.image, ROWS, mixup=mixup))["mixup"]
    expected = 0.0
    for n in range(3):
        logits = bank.prototypes @ batch.image[n] / 0.3
        log_probability = logits - logits.logsumexp(0)
        for row, weight in zip(rows[n], (share[n], 1 - share[n]), strict=True):
            expected -= weight * log_probability[LABELS[row]] / 3
    assert term.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["view_prototype", "view_align", "view_instance"])
def test_terms_of_views_follow_the_sample_weights(bank, batch, name):
    sample_weight = torch.tensor([1.0, 0.0, 0.5])
    per_view = [
        compute_terms(bank, replace(batch, view=batch.view[n : n + 1], view_of=torch.tensor([n])))
        for n in range(3)
    ]
    expected = sum(w * terms[name] for w, terms in zip(sample_weight, per_view, strict=True)) / 3
    terms = compute_terms(bank, replace(batch, view_weight=sample_weight))
    torch.testing.assert_close(terms[name], expected)


def test_real_cluster_ignores_the_weights_of_views(bank, batch):
    weighted = compute_terms(bank, replace(batch, view_weight=torch.tensor([1.0, 0.0, 0.5])))
    expected = compute_terms(bank, batch)["real_cluster"]
    assert expected > 0
    torch.testing.assert_close(weighted["real_cluster"], expected)


def test_view_align_is_the_squared_distance_to_the_image(bank, batch):
    term = compute_terms(bank, batch)["view_align"]
    torch.testing.assert_close(term, ((batch.image - batch.view) ** 2).sum(1).mean())


def test_hard_prototype_is_info_nce_with_hard_prototypes(bank, batch):
    bank.update(np.array([0, 1, 4, 6]), F.normalize(torch.randn(4, 4), dim=1))
    assert not torch.equal(bank.hard_prototypes, bank.prototypes)
    term = compute_terms(bank, ContrastBatch(batch.image, ROWS))["hard_prototype"]
    expected = info_nce(batch.image @ bank.hard_prototypes.T, LABELS[ROWS].tolist(), 0.3)
    assert term.item() == pytest.approx(expected, rel=1e-5)


def test_weak_view_is_info_nce_with_prototypes(bank, batch):
    term = compute_terms(bank, ContrastBatch(batch.image, ROWS, weak=batch.view))["weak_view"]
    expected = info_nce(batch.view @ bank.prototypes.T, LABELS[ROWS].tolist(), 0.3)
    assert term.item() == pytest.approx(expected, rel=1e-5)
