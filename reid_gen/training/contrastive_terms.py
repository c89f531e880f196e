"""The contrastive head: loss terms on images, their views and the memory bank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from reid_gen.generators.protocol import Terms
from reid_gen.losses.contrast import alignment, multi_positive_nce, pair_nce
from reid_gen.memory.bank import MemoryBank
from reid_gen.memory.proxies import CameraProxies
from reid_gen.runtime.transfer import move


@dataclass(frozen=True)
class Pairs:
    """Variants of GCL's three pair terms; the defaults are ours, the other values the release's.

    Attributes:
        negatives: Random negatives per image (GCL: 8,192 rows of other labels); None takes all.
        positive_from_batch: Whether a view's positive is the image's feature of this step, with
            gradient; the release takes the image's row of the memory bank.
        own_negatives: Whether ``real_cluster`` uses the real image's similarities to the negatives;
            the release reuses its view's, so that no gradient pushes the real image from negatives.
    """

    negatives: int | None = None
    positive_from_batch: bool = True
    own_negatives: bool = True


@dataclass(frozen=True)
class MixupFeatures:
    """Features of mixup images, each generated from the features of two people.

    Attributes:
        feature: Features, [b, D].
        rows: Memory bank rows of the two images that were mixed, [b, 2].
        share: Mixing weight of the first image, [b] in 0..1; the second has the rest.
    """

    feature: Tensor
    rows: Tensor
    share: Tensor


@dataclass(frozen=True)
class ContrastBatch:
    """Features of a batch.

    Attributes:
        image: Features of the images, [B, D].
        index: Memory bank rows of the images, [B].
        view: Features of generated views, [b V, D]; None without views.
        view_of: Image that each view shows, [b V] in 0..B-1.
        view_weight: Sample weight of each view, [b V] in 0..1; None weighs all by 1.
        mixup: Features of mixup images; None without mixup.
        weak: Features of weakly augmented images, [B, D]; None without them.
    """

    image: Tensor
    index: Tensor
    view: Tensor | None = None
    view_of: Tensor | None = None
    view_weight: Tensor | None = None
    mixup: MixupFeatures | None = None
    weak: Tensor | None = None


class ContrastTerms:
    """Contrastive loss terms by name; terms of weight 0 are not computed.

    ``prototype`` and ``view_prototype`` contrast images and views with cluster prototypes
    (Cluster Contrast), ``hard_prototype`` images with prototypes that follow each cluster's least
    similar image (HHCL), ``weak_view`` weakly augmented images with the prototypes,
    ``camera_proxy`` images with their cluster's proxies in all cameras (CAP's inter-camera term),
    ``instance`` images with the rows of all images; ``view_align`` pulls views towards their
    images without negatives (CLSP); ``view_instance``, ``view_cluster`` and ``real_cluster`` are
    GCL's pair terms (section 3.3); ``mixup`` is GCL+'s.

    Args:
        bank: Memory bank of the epoch.
        temperature: Temperature of every term.
        weights: Weight of each term; a missing term has weight 0.
        pairs: Variants of GCL's pair terms.
        proxy_negatives: Number of hardest proxies of other clusters that push an image (CAP: 50).
    """

    def __init__(
        self,
        bank: MemoryBank,
        temperature: float,
        weights: Mapping[str, float],
        pairs: Pairs,
        proxy_negatives: int = 50,
    ) -> None:
        self.bank = bank
        self.temperature = temperature
        self.weights = weights
        self.pairs = pairs
        self.proxy_negatives = proxy_negatives

    def __call__(self, batch: ContrastBatch) -> Terms:
        """Compute the terms of a batch; those of views are absent if it has none."""
        f, index = batch.image, batch.index
        terms: dict[str, Callable[[], Tensor]] = {
            "prototype": lambda: self._prototype(f, index),
            "hard_prototype": lambda: self._cluster_nce(f, index, self.bank.hard_prototypes),
            "instance": lambda: self._instance(f, index),
        }
        if self.bank.proxies is not None:
            proxies = self.bank.proxies
            terms["camera_proxy"] = lambda: self._camera_proxy(f, index, proxies)
        if batch.weak is not None:
            weak = batch.weak
            terms["weak_view"] = lambda: self._prototype(weak, index)
        if batch.view is not None and batch.view_of is not None:
            f_view, f_image = batch.view, f[batch.view_of]
            rows, weight = index[batch.view_of], batch.view_weight
            terms["view_prototype"] = lambda: self._prototype(f_view, rows, weight)
            terms["view_align"] = lambda: _weighted_mean(alignment(f_view, f_image), weight)
            if any(self.weights[name] > 0 for name in PAIR_TERMS):
                terms |= self._pair_terms(f_view, f_image, rows, weight)
        if batch.mixup is not None:
            mixup = batch.mixup
            terms["mixup"] = lambda: self._mixup(mixup)
        return {name: term() for name, term in terms.items() if self.weights.get(name, 0)}

    def _prototype(self, f: Tensor, index: Tensor, weight: Tensor | None = None) -> Tensor:
        """Cluster Contrast's term: InfoNCE against all prototypes."""
        return self._cluster_nce(f, index, self.bank.prototypes, weight)

    def _cluster_nce(
        self, f: Tensor, index: Tensor, prototypes: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        return multi_positive_nce(
            f @ prototypes.T,
            self.bank.prototype_positives(index),
            temperature=self.temperature,
            sample_weight=weight,
        )

    def _camera_proxy(self, f: Tensor, index: Tensor, proxies: CameraProxies) -> Tensor:
        """CAP's term: own proxies share the soft target, the hardest others are negatives."""
        similarity = f @ proxies.features.T
        positive = proxies.positives(index)
        negative = similarity.detach().masked_fill(positive, -torch.inf)
        count = min(self.proxy_negatives, negative.shape[1])
        hardest = torch.zeros_like(positive).scatter_(1, negative.topk(count).indices, True)
        return multi_positive_nce(
            similarity,
            positive,
            positive | hardest,
            temperature=self.temperature,
            denominator="shared",
        )

    def _mixup(self, mixup: MixupFeatures) -> Tensor:
        """Cross entropy with a soft label over both people's clusters (GCL+)."""
        first, second = (self.bank.prototype_positives(rows) for rows in mixup.rows.T)
        share = mixup.share.unsqueeze(1)
        return multi_positive_nce(
            mixup.feature @ self.bank.prototypes.T,
            share * first + (1 - share) * second,
            temperature=self.temperature,
            denominator="shared",
        )

    def _instance(self, f: Tensor, index: Tensor) -> Tensor:
        """InfoNCE against all images: those of the same cluster are positives."""
        return multi_positive_nce(
            f @ self.bank.features.T,
            self.bank.instance_positives(index),
            temperature=self.temperature,
        )

    def _pair_terms(
        self, f_view: Tensor, f_image: Tensor, rows: Tensor, weight: Tensor | None
    ) -> dict[str, Callable[[], Tensor]]:
        """GCL's pair terms of views [b, D] and their images [b, D] with bank rows [b]."""
        memory = self.bank.features
        positives = self.bank.instance_positives(rows)
        negative = sample_negatives(positives, self.pairs.negatives)
        view_similarity = f_view @ memory.T  # [b, N]
        image_similarity = f_image @ memory.T if self.pairs.own_negatives else view_similarity
        f_positive = f_image if self.pairs.positive_from_batch else memory[rows]

        def pair(anchor: Tensor, positive: Tensor, against: Tensor) -> Tensor:
            return pair_nce(
                (anchor * positive).sum(dim=1),
                against,
                negative,
                temperature=self.temperature,
                sample_weight=None if anchor is f_image else weight,
            )

        image_positive, view_positive = (memory[sample_positives(positives)] for _ in range(2))
        return {
            "view_instance": lambda: pair(f_view, f_positive, view_similarity),
            "view_cluster": lambda: pair(f_view, view_positive, view_similarity),
            "real_cluster": lambda: pair(f_image, image_positive, image_similarity),
        }


def _weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    return (values if weight is None else values * weight).mean()


PAIR_TERMS = ("view_instance", "view_cluster", "real_cluster")


def sample_negatives(positives: Tensor, count: int | None) -> Tensor:
    """Sample negatives among the rows that are no positives; outliers are negatives of all.

    Args:
        positives: Positives of each anchor, [b, N] bool (:meth:`MemoryBank.instance_positives`).
        count: Negatives per anchor, or as many as there are; None takes all.

    Returns:
        Mask of the negatives, [b, N] bool.
    """
    negatives = ~positives
    if count is None or count >= negatives.shape[1]:
        return negatives
    scores = move(torch.rand(negatives.shape), negatives.device).masked_fill(positives, -1)
    chosen = scores.topk(count, dim=1).indices
    return negatives & torch.zeros_like(negatives).scatter_(1, chosen, True)


def sample_positives(positives: Tensor) -> Tensor:
    """Sample one of each anchor's positives [b, N], maybe the anchor itself: row index [b]."""
    scores = move(torch.rand(positives.shape), positives.device).masked_fill(~positives, -1)
    return scores.argmax(dim=1)
