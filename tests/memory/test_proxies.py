"""Camera proxies equal loops written from CAP's paper."""

import math

import pytest
import torch
from torch.nn import functional as F

from reid_gen.memory.bank import MemoryBank
from reid_gen.training.contrastive_terms import ContrastBatch, ContrastTerms, Pairs

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, -1, 0, 2, 1])
CAMIDS = torch.tensor([3, 3, 0, 0, 5, 5, 5, 0, 0, 3, 0])
PROXIES = [(0, 0), (0, 3), (1, 0), (1, 5), (2, 3), (2, 5)]
"""Cluster and camera of each proxy, in order."""


@pytest.fixture
def bank():
    torch.manual_seed(0)
    features = F.normalize(torch.randn(11, 6), dim=1)
    return MemoryBank(features, LABELS, 0.2, 0.1, proxy_momentum=0.3, camids=CAMIDS)


def test_camera_proxies_start_at_means_per_cluster_and_camera(bank):
    assert bank.proxies.clusters.tolist() == [cluster for cluster, _ in PROXIES]
    for number, (cluster, camera) in enumerate(PROXIES):
        rows = [n for n in range(11) if (LABELS[n], CAMIDS[n]) == (cluster, camera)]
        mean = bank.features[rows].mean(dim=0)
        torch.testing.assert_close(bank.proxies.features[number], mean / mean.norm())
        assert bank.proxies.of_image[rows].tolist() == [number] * len(rows)
    assert bank.proxies.of_image[7] == -1


def test_camera_proxies_update_with_images_of_their_camera(bank):
    before = bank.proxies.features.clone()
    index = torch.tensor([9, 7, 2, 8])
    feature = F.normalize(torch.randn(4, 6), dim=1)
    bank.update(index.numpy(), feature)
    expected = before.clone()
    for row, proxy in ((0, 4), (2, 0), (3, 0)):
        blended = 0.3 * expected[proxy] + 0.7 * feature[row]
        expected[proxy] = blended / blended.norm()
    torch.testing.assert_close(bank.proxies.features, expected)


def inter_camera(f, labels, proxies, negatives, temperature):
    """CAP's inter-camera loss: own proxies against themselves and the hardest others."""
    total = 0.0
    for z, label in zip(f.tolist(), labels.tolist(), strict=True):
        scores = [sum(a * b for a, b in zip(z, p, strict=True)) for p in proxies.tolist()]
        positives = [s for s, (cluster, _) in zip(scores, PROXIES, strict=True) if cluster == label]
        others = [s for s, (cluster, _) in zip(scores, PROXIES, strict=True) if cluster != label]
        hardest = sorted(others, reverse=True)[:negatives]
        below = sum(math.exp(s / temperature) for s in positives + hardest)
        logs = [math.log(math.exp(s / temperature) / below) for s in positives]
        total -= sum(logs) / len(logs)
    return total / len(f)


@pytest.mark.parametrize("negatives", [1, 2, 50])
def test_camera_proxy_term_equals_reference(bank, negatives):
    index = torch.tensor([0, 3, 6, 8])
    f = F.normalize(torch.randn(4, 6), dim=1).requires_grad_()
    terms = ContrastTerms(bank, 0.1, {"camera_proxy": 1.0}, Pairs(), negatives)
    losses = terms(ContrastBatch(f, index))
    expected = inter_camera(f, LABELS[index], bank.proxies.features, negatives, 0.1)
    assert list(losses) == ["camera_proxy"]
    assert losses["camera_proxy"].item() == pytest.approx(expected, rel=1e-5)
    losses["camera_proxy"].backward()
    assert torch.isfinite(f.grad).all()


def test_camera_proxy_term_of_one_cluster_is_finite(bank):
    labels = torch.zeros(11, dtype=torch.int64)
    one_cluster = MemoryBank(bank.features, labels, 0.2, 0.1, camids=CAMIDS)
    terms = ContrastTerms(one_cluster, 0.1, {"camera_proxy": 1.0}, Pairs(), 50)
    losses = terms(ContrastBatch(bank.features[:3], torch.arange(3)))
    assert torch.isfinite(losses["camera_proxy"])
