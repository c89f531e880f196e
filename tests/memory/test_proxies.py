"""Camera proxies against loops as CAP's paper has them."""

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


def test_camera_proxies_start_at_means_of_cluster_and_camera(bank):
    assert bank.proxies.clusters.tolist() == [cluster for cluster, _ in PROXIES]
    for place, (cluster, camera) in enumerate(PROXIES):
        rows = [n for n in range(11) if (LABELS[n], CAMIDS[n]) == (cluster, camera)]
        mean = bank.features[rows].mean(dim=0)
        torch.testing.assert_close(bank.proxies.features[place], mean / mean.norm())
        assert bank.proxies.of_image[rows].tolist() == [place] * len(rows)
    assert bank.proxies.of_image[7] == -1


def test_camera_proxies_follow_images_of_their_camera(bank):
    before = bank.proxies.features.clone()
    index = torch.tensor([9, 7, 2, 8])
    feature = F.normalize(torch.randn(4, 6), dim=1)
    bank.update(index, feature)
    wanted = before.clone()
    for row, proxy in ((0, 4), (2, 0), (3, 0)):
        mixed = 0.3 * wanted[proxy] + 0.7 * feature[row]
        wanted[proxy] = mixed / mixed.norm()
    torch.testing.assert_close(bank.proxies.features, wanted)


def inter_camera(f, labels, proxies, negatives, temperature):
    """CAP: the cluster's proxies against themselves and the hardest others; loops."""
    total = 0.0
    for z, label in zip(f.tolist(), labels.tolist(), strict=True):
        scores = [sum(a * b for a, b in zip(z, p, strict=True)) for p in proxies.tolist()]
        own = [n for n, (cluster, _) in enumerate(PROXIES) if cluster == label]
        others = sorted((s for n, s in enumerate(scores) if n not in own), reverse=True)
        against = [scores[n] for n in own] + others[:negatives]
        below = sum(math.exp(s / temperature) for s in against)
        total -= sum(math.log(math.exp(scores[n] / temperature) / below) for n in own) / len(own)
    return total / len(f)


@pytest.mark.parametrize("negatives", [1, 2, 50])
def test_camera_proxy_equals_its_slow_twin(bank, negatives):
    index = torch.tensor([0, 3, 6, 8])
    f = F.normalize(torch.randn(4, 6), dim=1).requires_grad_()
    terms = ContrastTerms(bank, 0.1, {"camera_proxy": 1.0}, Pairs(), negatives)
    found = terms(ContrastBatch(f, index))
    wanted = inter_camera(f, LABELS[index], bank.proxies.features, negatives, 0.1)
    assert list(found) == ["camera_proxy"]
    assert found["camera_proxy"].item() == pytest.approx(wanted, rel=1e-5)
    found["camera_proxy"].backward()
    assert torch.isfinite(f.grad).all()


def test_camera_proxy_of_one_cluster_has_no_negatives(bank):
    labels = torch.zeros(11, dtype=torch.int64)
    one = MemoryBank(bank.features, labels, 0.2, 0.1, camids=CAMIDS)
    terms = ContrastTerms(one, 0.1, {"camera_proxy": 1.0}, Pairs(), 50)
    found = terms(ContrastBatch(bank.features[:3], torch.arange(3)))["camera_proxy"]
    assert torch.isfinite(found)
