"""The contrastive head: terms that tie images, their views and the memory bank together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from reid_gen.generators.protocol import Terms
from reid_gen.losses.contrast import alignment, multi_positive_nce, pair_nce
from reid_gen.memory.bank import MemoryBank
from reid_gen.memory.proxies import CameraProxies


@dataclass(frozen=True)
class Pairs:
    """How GCL's three pair terms are made; the defaults are ours, the release's are the others.

    Attributes:
        negatives: Random rows of other labels per image (GCL: 8,192); None takes all.
        positive_from_batch: Whether a view's own positive is the image's feature of this step,
            with gradient; the release takes the image's row of the bank.
        own_negatives: Whether the real image is pushed from the negatives itself; in the release
            its term borrows the view's, so that it is only ever pulled.
    """

    negatives: int | None = None
    positive_from_batch: bool = True
    own_negatives: bool = True


@dataclass(frozen=True)
class MixupFeatures:
    """Features of pictures that mix two people.

    Attributes:
        feature: [b, D].
        rows: Rows in the bank of the images that each was mixed of, [b, 2].
        share: Of the first of these, [b] in 0..1.
    """

    feature: Tensor
    rows: Tensor
    share: Tensor


@dataclass(frozen=True)
class ContrastBatch:
    """Features of a batch.

    Attributes:
        real: Of its images, [B, D].
        index: Their rows in the bank, [B].
        view: Of their views, [b V, D]; None where there are none.
        view_of: The image of each view, [b V] in 0..B-1.
        sample_weight: How much each view counts, [b V] in 0..1; None is 1.
        mixup: Pictures of two people at once.
        weak: Weak views of the images, [B, D]; None where there are none.
    """

    real: Tensor
    index: Tensor
    view: Tensor | None = None
    view_of: Tensor | None = None
    sample_weight: Tensor | None = None
    mixup: MixupFeatures | None = None
    weak: Tensor | None = None


class ContrastTerms:
    """All terms of weight above 0, by name.

    ``prototype`` and ``view_prototype`` contrast images and views with the clusters' prototypes,
    ``hard_prototype`` images with those that follow the least similar images (HHCL),
    ``weak_view`` images that are neither cropped nor erased with the prototypes,
    ``camera_proxy`` images with their cluster's proxies of all cameras (CAP's inter-camera term),
    ``instance`` images with all images' rows; ``view_align`` draws views to their images and pushes
    nothing (CLSP); ``view_instance``, ``view_cluster`` and ``real_cluster`` are GCL's three
    (section 3.3); ``mixup`` is GCL+'s.

    Args:
        bank: Memory bank of the epoch.
        temperature: Of every term.
        weights: Weight of each term; a term of weight 0, or without one, is not computed.
        pairs: How GCL's terms are made.
        proxy_negatives: Most similar proxies of other clusters that push an image (CAP: 50).
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

    def __call__(self, anchors: ContrastBatch) -> Terms:
        """Terms of a batch; those of views are absent if it has none."""
        f, index = anchors.real, anchors.index
        terms: dict[str, Callable[[], Tensor]] = {
            "prototype": lambda: self._prototype(f, index),
            "hard_prototype": lambda: self._cluster_nce(f, index, self.bank.hard_prototypes),
            "instance": lambda: self._instance(f, index),
        }
        if self.bank.proxies is not None:
            proxies = self.bank.proxies
            terms["camera_proxy"] = lambda: self._camera_proxy(f, index, proxies)
        if anchors.weak is not None:
            weak = anchors.weak
            terms["weak_view"] = lambda: self._prototype(weak, index)
        if anchors.view is not None and anchors.view_of is not None:
            f_new, own = anchors.view, f[anchors.view_of]
            rows = index[anchors.view_of]
            sample_weight = anchors.sample_weight
            terms["view_prototype"] = lambda: self._prototype(f_new, rows, sample_weight)
            terms["view_align"] = lambda: _weighted_mean(alignment(f_new, own), sample_weight)
            if any(self.weights[name] > 0 for name in PAIR_TERMS):
                terms |= self._pair_terms(f_new, own, rows, sample_weight)
        if anchors.mixup is not None:
            mixup = anchors.mixup
            terms["mixup"] = lambda: self._mixup(mixup)
        return {name: term() for name, term in terms.items() if self.weights.get(name, 0)}

    def _prototype(self, f: Tensor, index: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Cluster Contrast's term: InfoNCE against all prototypes."""
        return self._cluster_nce(f, index, self.bank.prototypes, sample_weight)

    def _cluster_nce(
        self, f: Tensor, index: Tensor, prototypes: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        return multi_positive_nce(
            f @ prototypes.T,
            self.bank.prototype_positives(index),
            temperature=self.temperature,
            sample_weight=sample_weight,
        )

    def _camera_proxy(self, f: Tensor, index: Tensor, proxies: CameraProxies) -> Tensor:
        """The cluster's proxies share the soft target, the hardest others stand against them."""
        similarity = f @ proxies.features.T
        positive = proxies.positives(index)
        others = similarity.detach().masked_fill(positive, -torch.inf)
        count = min(self.proxy_negatives, others.shape[1])
        hardest = torch.zeros_like(positive).scatter_(1, others.topk(count).indices, True)
        return multi_positive_nce(
            similarity,
            positive,
            positive | hardest,
            temperature=self.temperature,
            denominator="shared",
        )

    def _mixup(self, mixup: MixupFeatures) -> Tensor:
        """Cross entropy with both people's clusters as a soft label (GCL+)."""
        first, second = (self.bank.prototype_positives(rows) for rows in mixup.rows.T)
        share = mixup.share.unsqueeze(1)
        return multi_positive_nce(
            mixup.feature @ self.bank.prototypes.T,
            share * first + (1 - share) * second,
            temperature=self.temperature,
            denominator="shared",
        )

    def _instance(self, f: Tensor, index: Tensor) -> Tensor:
        """Every image of the cluster is a positive, every other image a negative."""
        return multi_positive_nce(
            f @ self.bank.features.T,
            self.bank.instance_positives(index),
            temperature=self.temperature,
        )

    def _pair_terms(
        self, f_new: Tensor, f: Tensor, rows: Tensor, sample_weight: Tensor | None
    ) -> dict[str, Callable[[], Tensor]]:
        """GCL's three terms of views [b, D] and their images [b, D], rows [b] of the bank."""
        memory = self.bank.features
        positive = self.bank.instance_positives(rows)
        negative = draw_negatives(positive, self.pairs.negatives)
        of_view = f_new @ memory.T
        of_real = f @ memory.T if self.pairs.own_negatives else of_view
        itself = f if self.pairs.positive_from_batch else memory[rows]

        def pair(anchor: Tensor, positive: Tensor, against: Tensor) -> Tensor:
            similarity = (anchor * positive).sum(dim=1)
            counts = None if anchor is f else sample_weight
            return pair_nce(
                similarity, against, negative, temperature=self.temperature, sample_weight=counts
            )

        mate, mate_of_view = (memory[draw_mates(positive)] for _ in range(2))
        return {
            "view_instance": lambda: pair(f_new, itself, of_view),
            "view_cluster": lambda: pair(f_new, mate_of_view, of_view),
            "real_cluster": lambda: pair(f, mate, of_real),
        }


def _weighted_mean(values: Tensor, sample_weight: Tensor | None) -> Tensor:
    return (values if sample_weight is None else values * sample_weight).mean()


PAIR_TERMS = ("view_instance", "view_cluster", "real_cluster")


def draw_negatives(positive: Tensor, count: int | None) -> Tensor:
    """Mark random rows that are no positives; outliers are everybody's negatives.

    Args:
        positive: :meth:`MemoryBank.instance_positives` of the anchors, [b, N] bool.
        count: Negatives per anchor, fewer where there are not so many; None marks all.

    Returns:
        [b, N] bool.
    """
    others = ~positive
    if count is None or count >= others.shape[1]:
        return others
    ranked = torch.rand(others.shape, device=others.device).masked_fill(positive, -1)
    chosen = ranked.topk(count, dim=1).indices
    return others & torch.zeros_like(others).scatter_(1, chosen, True)


def draw_mates(positive: Tensor) -> Tensor:
    """A random row among the positives [b, N] of each anchor, maybe its own: [b]."""
    ranked = torch.rand(positive.shape, device=positive.device).masked_fill(~positive, -1)
    return ranked.argmax(dim=1)
