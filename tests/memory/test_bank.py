import numpy as np
import torch
from torch.nn import functional as F

from reid_gen.memory.bank import MemoryBank, least_similar
from reid_gen.memory.blend import blend_in_order
from reid_gen.memory.cluster_means import cluster_means


def unit_features(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def blend_sequentially(memory, rows, features, momentum):
    """Reference update: one feature after the other."""
    memory = memory.numpy().copy()
    for row, feature in zip(rows.tolist(), features.numpy(), strict=True):
        blended = momentum * memory[row] + (1 - momentum) * feature
        memory[row] = blended / np.linalg.norm(blended)
    return memory


def test_blend_in_order_equals_sequential_updates():
    memory, features = unit_features(6, 8), unit_features(20, 8, seed=1)
    rows = torch.randint(0, 6, (20,), generator=torch.Generator().manual_seed(2))
    expected = blend_sequentially(memory, rows, features, 0.3)
    blend_in_order(memory, rows.numpy(), features, 0.3)
    np.testing.assert_allclose(memory.numpy(), expected, atol=1e-14)


def test_blend_in_order_of_no_features_keeps_the_memory():
    memory = unit_features(3, 4)
    before = memory.clone()
    blend_in_order(memory, np.empty(0, np.int64), torch.empty(0, 4), 0.3)
    assert torch.equal(memory, before)


def make_bank():
    labels = torch.tensor([0, 0, -1, -1, 1])
    return MemoryBank(
        unit_features(5, 4).float(), labels, instance_momentum=0.2, prototype_momentum=0.1
    )


def test_cluster_means_are_normalised_means_without_outliers():
    features, labels = unit_features(5, 4).float(), torch.tensor([0, 0, -1, -1, 1])
    expected = F.normalize(torch.stack([features[:2].mean(0), features[4]]), dim=1)
    torch.testing.assert_close(cluster_means(features, labels), expected)


def test_bank_outliers_are_positives_of_themselves_alone():
    positives = make_bank().instance_positives(torch.tensor([2, 0]))
    assert positives.tolist() == [
        [False, False, True, False, False],
        [True, True, False, False, False],
    ]


def test_bank_outliers_have_no_prototype():
    positives = make_bank().prototype_positives(torch.tensor([2, 0, 4]))
    assert positives.tolist() == [[False, False], [True, False], [False, True]]


def test_bank_update_changes_rows_of_the_batch_only():
    bank = make_bank()
    rows, prototypes = bank.features.clone(), bank.prototypes.clone()
    bank.update(np.array([2, 4]), unit_features(2, 4, seed=3).float())
    changed = (bank.features != rows).any(dim=1)
    assert changed.tolist() == [False, False, True, False, True]
    assert (bank.prototypes != prototypes).any(dim=1).tolist() == [False, True]
    torch.testing.assert_close(bank.features.norm(dim=1), torch.ones(5))


def test_bank_update_detaches_features():
    bank = make_bank()
    feature = unit_features(1, 4, seed=3).float().requires_grad_()
    bank.update(np.array([0]), feature)
    assert not bank.features.requires_grad


def test_bank_uses_one_momentum_for_rows_and_one_for_prototypes():
    bank = make_bank()
    rows, prototypes = bank.features.clone(), bank.prototypes.clone()
    feature = unit_features(1, 4, seed=3).float()
    bank.update(np.array([1]), feature)
    row = F.normalize(0.2 * rows[1] + 0.8 * feature[0], dim=0)
    torch.testing.assert_close(bank.features[1], row)
    prototype = F.normalize(0.1 * prototypes[0] + 0.9 * feature[0], dim=0)
    torch.testing.assert_close(bank.prototypes[0], prototype)


def update_hard_prototypes(prototypes, labels, features, momentum):
    """HHCL: the least similar image of each cluster in the batch updates its prototype."""
    prototypes = [list(row) for row in prototypes.tolist()]
    for cluster in sorted(set(labels.tolist()) - {-1}):
        members = [f for f, y in zip(features.tolist(), labels, strict=True) if y == cluster]
        old = prototypes[cluster]
        hardest = min(members, key=lambda f: sum(a * b for a, b in zip(f, old, strict=True)))
        blended = [momentum * a + (1 - momentum) * b for a, b in zip(old, hardest, strict=True)]
        norm = sum(x * x for x in blended) ** 0.5
        prototypes[cluster] = [x / norm for x in blended]
    return prototypes


def test_bank_updates_hard_prototypes_with_the_least_similar():
    labels = torch.tensor([3, 0, 3, -1, 1, 0, 3, 1, 0, 3, 2])
    bank = MemoryBank(
        unit_features(11, 4).float(), labels, instance_momentum=0.2, prototype_momentum=0.3
    )
    start = bank.hard_prototypes.clone()
    torch.testing.assert_close(start, bank.prototypes)
    index = torch.tensor([0, 8, 2, 3, 5, 6, 9, 1])  # none of clusters 1 and 2
    feature = unit_features(8, 4, seed=5).float()
    bank.update(index.numpy(), feature)
    expected = update_hard_prototypes(start, labels[index], feature, 0.3)
    torch.testing.assert_close(bank.hard_prototypes, torch.tensor(expected))


def test_bank_keeps_hard_prototypes_in_a_batch_of_outliers():
    bank = make_bank()
    before = bank.hard_prototypes.clone()
    bank.update(np.array([2, 3]), unit_features(2, 4, seed=3).float())
    assert torch.equal(bank.hard_prototypes, before)


def test_least_similar_finds_one_image_per_cluster():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [1.0, 0.0]])
    prototypes = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert least_similar(features, torch.tensor([0, 0, 1, 1]), prototypes).tolist() == [1, 3]
