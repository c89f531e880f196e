from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from reid_gen.memory.bank import MemoryBank
from reid_gen.training.contrastive_terms import (
    ContrastBatch,
    ContrastTerms,
    MixupFeatures,
    Pairs,
    draw_mates,
    draw_negatives,
)
from tests.reference.losses import gcl_pair, info_nce

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, -1, -1])
ROWS = torch.tensor([0, 3, 5])
NAMES = (
    *("prototype", "instance", "view_prototype", "view_instance", "view_cluster", "real_cluster"),
    *("view_align", "mixup", "hard_prototype", "weak_view"),
)


def positives(rows):
    return MemoryBank(torch.zeros(9, 4), LABELS, 0.2, 0.1).instance_positives(rows)


@pytest.fixture
def bank():
    torch.manual_seed(0)
    return MemoryBank(F.normalize(torch.randn(9, 4), dim=1), LABELS, 0.2, 0.1)


@pytest.fixture
def anchors():
    torch.manual_seed(1)
    real, view = F.normalize(torch.randn(2, 3, 4), dim=2)
    return ContrastBatch(real, ROWS, view, torch.arange(3))


def terms(bank, anchors, pairs, seed=2):
    torch.manual_seed(seed)
    return ContrastTerms(bank, 0.3, dict.fromkeys(NAMES, 1.0), pairs)(anchors)


def test_negatives_have_other_labels_and_outliers_are_everybodys():
    negative = draw_negatives(positives(torch.tensor([0, 7])), None)
    assert negative[0].tolist() == [False] * 3 + [True] * 6
    assert negative[1].tolist() == [True] * 7 + [False, True]


def test_as_many_negatives_are_drawn_as_asked_for_or_as_there_are():
    torch.manual_seed(0)
    assert draw_negatives(positives(ROWS), 2).sum(1).tolist() == [2, 2, 2]
    # The release stops here: a cluster may leave fewer negatives than are asked for.
    assert draw_negatives(positives(ROWS), 7).sum(1).tolist() == [6, 7, 7]
    assert draw_negatives(positives(ROWS), 8192).sum(1).tolist() == [6, 7, 7]


def test_mates_share_the_cluster_and_an_outlier_has_itself_alone():
    torch.manual_seed(0)
    seen = {tuple(draw_mates(positives(torch.tensor([0, 8]))).tolist()) for _ in range(40)}
    assert {mate for mate, _ in seen} == {0, 1, 2}
    assert {mate for _, mate in seen} == {8}


def test_gcls_three_terms_equal_loops_as_in_the_release(bank, anchors):
    found = terms(bank, anchors, Pairs(negatives=3, positive_from_batch=False, own_negatives=False))
    torch.manual_seed(2)
    negative = draw_negatives(positives(ROWS), 3)
    mate, mate_of_view = (bank.features[draw_mates(positives(ROWS))] for _ in range(2))
    chosen = [row.nonzero().flatten().tolist() for row in negative]
    z, z_new, memory = anchors.image, anchors.view, bank.features
    wanted = gcl_pair(z_new, memory[ROWS], memory, chosen, 0.3)
    assert found["view_instance"].item() == pytest.approx(wanted, rel=1e-5)
    wanted = gcl_pair(z_new, mate_of_view, memory, chosen, 0.3)
    assert found["view_cluster"].item() == pytest.approx(wanted, rel=1e-5)
    # Its positive is pulled by the real image, its negatives are the view's.
    total = 0.0
    for n in range(3):
        raised = torch.exp(z[n] @ mate[n] / 0.3)
        against = torch.exp(memory[chosen[n]] @ z_new[n] / 0.3).sum()
        total -= torch.log(raised / (raised + against)).item()
    assert found["real_cluster"].item() == pytest.approx(total / 3, rel=1e-5)


def test_with_our_defaults_the_live_image_is_the_positive_and_pushed_itself(bank, anchors):
    found = terms(bank, anchors, Pairs())
    everybody = [row.nonzero().flatten().tolist() for row in draw_negatives(positives(ROWS), None)]
    wanted = gcl_pair(anchors.view, anchors.image, bank.features, everybody, 0.3)
    assert found["view_instance"].item() == pytest.approx(wanted, rel=1e-5)
    torch.manual_seed(2)
    mate = bank.features[draw_mates(positives(ROWS))]
    wanted = gcl_pair(anchors.image, mate, bank.features, everybody, 0.3)
    assert found["real_cluster"].item() == pytest.approx(wanted, rel=1e-5)


def test_a_live_positive_takes_gradient_and_one_of_the_bank_does_not(bank, anchors):
    real = anchors.image.clone().requires_grad_()
    for positive_from_batch in (True, False):
        made = terms(
            bank,
            ContrastBatch(real, ROWS, anchors.view, anchors.view_of),
            Pairs(positive_from_batch=positive_from_batch),
        )
        assert made["view_instance"].requires_grad == positive_from_batch


def test_views_of_some_images_are_contrasted_with_those_images(bank, anchors):
    some = ContrastBatch(anchors.image, ROWS, anchors.view[:2], torch.tensor([2, 0]))
    found = terms(bank, some, Pairs())["view_prototype"]
    own = ContrastBatch(anchors.view[:2], ROWS[[2, 0]])
    assert found.item() == pytest.approx(terms(bank, own, Pairs())["prototype"].item())


def test_a_batch_without_views_has_no_terms_of_views(bank, anchors):
    plain = terms(bank, ContrastBatch(anchors.image, ROWS), Pairs())
    assert set(plain) == {"prototype", "hard_prototype", "instance"}


def test_a_batch_of_a_single_cluster_gives_finite_terms(bank, anchors):
    rows = torch.tensor([0, 1, 2])
    found = terms(bank, ContrastBatch(anchors.image, rows, anchors.view, anchors.view_of), Pairs())
    assert set(found) == set(NAMES) - {"mixup", "weak_view"}
    assert all(torch.isfinite(value) for value in found.values())


def test_a_bank_of_a_single_cluster_has_no_negatives_and_pulls_nothing(anchors):
    torch.manual_seed(0)
    features = F.normalize(torch.randn(9, 4), dim=1)
    bank = MemoryBank(features, torch.zeros(9, dtype=torch.int64), 0.2, 0.1)
    found = terms(bank, anchors, Pairs(negatives=4))
    assert all(torch.isfinite(value) for value in found.values())
    assert found["view_instance"].item() == 0


def test_a_picture_of_two_people_is_pulled_to_both_clusters_by_their_shares(bank, anchors):
    share = torch.tensor([0.8, 0.6, 0.5])
    rows = torch.tensor([[0, 3], [5, 1], [3, 4]])  # the last two share a cluster
    mixup = MixupFeatures(anchors.image, rows, share)
    found = terms(bank, ContrastBatch(anchors.image, ROWS, mixup=mixup), Pairs())["mixup"]
    total = 0.0
    for n in range(3):
        logits = bank.prototypes @ anchors.image[n] / 0.3
        log_share = logits - logits.logsumexp(0)
        for row, weight in zip(rows[n], (share[n], 1 - share[n]), strict=True):
            total -= weight * log_share[LABELS[row]]
    assert found.item() == pytest.approx(total.item() / 3, rel=1e-5)


def test_a_view_counts_as_much_as_it_is_worth(bank, anchors):
    sample_weight = torch.tensor([1.0, 0.0, 0.5])
    some = replace(anchors, view_weight=sample_weight)
    for name in ("view_prototype", "view_align", "view_instance"):
        each = [
            terms(
                bank,
                replace(anchors, view=anchors.view[n : n + 1], view_of=torch.tensor([n])),
                Pairs(),
            )
            for n in range(3)
        ]
        wanted = sum(w * one[name] for w, one in zip(sample_weight, each, strict=True)) / 3
        torch.testing.assert_close(terms(bank, some, Pairs())[name], wanted)
    assert terms(bank, some, Pairs())["real_cluster"] > 0


def test_alignment_pulls_view_and_image_together(bank, anchors):
    found = terms(bank, anchors, Pairs())["view_align"]
    torch.testing.assert_close(found, ((anchors.image - anchors.view) ** 2).sum(1).mean())


def test_hard_prototype_is_info_nce_with_hard_prototypes(bank, anchors):
    bank.update(torch.tensor([0, 1, 4, 6]), F.normalize(torch.randn(4, 4), dim=1))
    assert not torch.equal(bank.hard_prototypes, bank.prototypes)
    found = terms(bank, ContrastBatch(anchors.image, ROWS), Pairs())["hard_prototype"]
    wanted = info_nce(anchors.image @ bank.hard_prototypes.T, LABELS[ROWS].tolist(), 0.3)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_weak_view_is_info_nce_with_prototypes(bank, anchors):
    found = terms(bank, ContrastBatch(anchors.image, ROWS, weak=anchors.view), Pairs())["weak_view"]
    wanted = info_nce(anchors.view @ bank.prototypes.T, LABELS[ROWS].tolist(), 0.3)
    assert found.item() == pytest.approx(wanted, rel=1e-5)
