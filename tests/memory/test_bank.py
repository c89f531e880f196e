import numpy as np
import torch
from torch.nn import functional as F

from reid_gen.memory.bank import MemoryBank, least_similar
from reid_gen.memory.blend import blend_in_order
from reid_gen.memory.cluster_means import cluster_means


def unit(*shape, seed=0):
    source = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=source, dtype=torch.float64), dim=-1)


def one_by_one(memory, rows, features, momentum):
    memory = memory.numpy().copy()
    for row, feature in zip(rows.tolist(), features.numpy(), strict=True):
        mixed = momentum * memory[row] + (1 - momentum) * feature
        memory[row] = mixed / np.linalg.norm(mixed)
    return memory


def test_repeated_rows_are_blended_as_if_one_after_the_other():
    memory, features = unit(6, 8), unit(20, 8, seed=1)
    rows = torch.randint(0, 6, (20,), generator=torch.Generator().manual_seed(2))
    expected = one_by_one(memory, rows, features, 0.3)
    blend_in_order(memory, rows, features, 0.3)
    np.testing.assert_allclose(memory.numpy(), expected, atol=1e-14)


def test_blending_nothing_changes_nothing():
    memory = unit(3, 4)
    before = memory.clone()
    blend_in_order(memory, torch.empty(0, dtype=torch.long), torch.empty(0, 4), 0.3)
    assert torch.equal(memory, before)


def bank():
    labels = torch.tensor([0, 0, -1, -1, 1])
    return MemoryBank(unit(5, 4).float(), labels, instance_momentum=0.2, prototype_momentum=0.1)


def test_prototypes_start_at_the_mean_of_their_cluster():
    features, labels = unit(5, 4).float(), torch.tensor([0, 0, -1, -1, 1])
    expected = F.normalize(torch.stack([features[:2].mean(0), features[4]]), dim=1)
    torch.testing.assert_close(cluster_means(features, labels), expected)


def test_outliers_match_only_themselves():
    positives = bank().instance_positives(torch.tensor([2, 0]))
    assert positives.tolist() == [
        [False, False, True, False, False],
        [True, True, False, False, False],
    ]


def test_outliers_have_no_prototype():
    positives = bank().prototype_positives(torch.tensor([2, 0, 4]))
    assert positives.tolist() == [[False, False], [True, False], [False, True]]


def test_an_update_moves_rows_and_prototypes_of_the_batch_only():
    memory = bank()
    rows, prototypes = memory.features.clone(), memory.prototypes.clone()
    memory.update(torch.tensor([2, 4]), unit(2, 4, seed=3).float())
    changed = (memory.features != rows).any(dim=1)
    assert changed.tolist() == [False, False, True, False, True]
    assert (memory.prototypes != prototypes).any(dim=1).tolist() == [False, True]
    torch.testing.assert_close(memory.features.norm(dim=1), torch.ones(5))


def test_an_update_carries_no_gradient():
    memory = bank()
    feature = unit(1, 4, seed=3).float().requires_grad_()
    memory.update(torch.tensor([0]), feature)
    assert not memory.features.requires_grad


def test_bank_blends_rows_and_prototypes_each_by_its_momentum():
    memory = bank()
    rows, prototypes = memory.features.clone(), memory.prototypes.clone()
    feature = unit(1, 4, seed=3).float()
    memory.update(torch.tensor([1]), feature)
    row = F.normalize(0.2 * rows[1] + 0.8 * feature[0], dim=0)
    torch.testing.assert_close(memory.features[1], row)
    prototype = F.normalize(0.1 * prototypes[0] + 0.9 * feature[0], dim=0)
    torch.testing.assert_close(memory.prototypes[0], prototype)


def hardest_one_by_one(prototypes, labels, features, momentum):
    """HHCL's memory: of each cluster in the batch the image least like the prototype moves it."""
    prototypes = [list(row) for row in prototypes.tolist()]
    for cluster in sorted(set(labels.tolist()) - {-1}):
        own = [f for f, label in zip(features.tolist(), labels, strict=True) if label == cluster]
        old = prototypes[cluster]
        hardest = min(own, key=lambda f: sum(a * b for a, b in zip(f, old, strict=True)))
        mixed = [momentum * a + (1 - momentum) * b for a, b in zip(old, hardest, strict=True)]
        length = sum(x * x for x in mixed) ** 0.5
        prototypes[cluster] = [x / length for x in mixed]
    return prototypes


def test_hard_prototypes_follow_the_least_similar():
    labels = torch.tensor([3, 0, 3, -1, 1, 0, 3, 1, 0, 3, 2])
    memory = MemoryBank(unit(11, 4).float(), labels, instance_momentum=0.2, prototype_momentum=0.3)
    start = memory.hard_prototypes.clone()
    torch.testing.assert_close(start, memory.prototypes)
    index = torch.tensor([0, 8, 2, 3, 5, 6, 9, 1])  # of cluster 1 and 2 none
    feature = unit(8, 4, seed=5).float()
    memory.update(index, feature)
    wanted = hardest_one_by_one(start, labels[index], feature, 0.3)
    torch.testing.assert_close(memory.hard_prototypes, torch.tensor(wanted))


def test_hard_prototypes_stay_in_a_batch_of_outliers():
    memory = bank()
    before = memory.hard_prototypes.clone()
    memory.update(torch.tensor([2, 3]), unit(2, 4, seed=3).float())
    assert torch.equal(memory.hard_prototypes, before)


def test_least_similar_gives_one_image_per_cluster():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [1.0, 0.0]])
    prototypes = torch.tensor([[1.0, 0.0], [9.0, 9.0], [0.0, 1.0]])
    assert least_similar(features, torch.tensor([0, 0, 2, 2]), prototypes).tolist() == [1, 3]
