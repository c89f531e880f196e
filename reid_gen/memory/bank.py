"""The memory bank: one feature per image, prototypes per cluster, camera proxies."""

from __future__ import annotations

import torch
from torch import Tensor

from reid_gen.memory.blend import blend_in_order
from reid_gen.memory.cluster_means import cluster_means
from reid_gen.memory.proxies import CameraProxies
from reid_gen.types import OUTLIER


class MemoryBank:
    """Momentum-updated features that a batch is contrasted with.

    Args:
        features: Unit features of all training images, [N, D].
        labels: Pseudo labels of the images, [N] int64; -1 is an outlier.
        instance_momentum: Share of the old value that an update of an image's feature keeps, in
            [0, 1).
        prototype_momentum: Share of the old value that an update of a prototype keeps, in [0, 1).
        proxy_momentum: Share of the old value that an update of a camera proxy keeps, in [0, 1).
        camids: Cameras of the images, [N] int64; None makes no camera proxies.

    Attributes:
        features: One feature per image, [N, D].
        labels: Pseudo labels, [N].
        prototypes: One prototype per cluster, [C, D], initialised with the cluster mean.
        hard_prototypes: A second prototype per cluster, [C, D], with the same initialisation; each
            batch updates it with the cluster's least similar image only (HHCL).
        proxies: Camera proxies; None without cameras.
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        instance_momentum: float,
        prototype_momentum: float,
        proxy_momentum: float = 0.2,
        camids: Tensor | None = None,
    ) -> None:
        self.features = features.clone()
        self.labels = labels
        self.prototypes = cluster_means(features, labels)
        self.hard_prototypes = self.prototypes.clone()
        self.proxies: CameraProxies | None = None
        if camids is not None:
            self.proxies = CameraProxies(features, labels, camids, proxy_momentum)
        self.instance_momentum = instance_momentum
        self.prototype_momentum = prototype_momentum

    def prototype_positives(self, index: Tensor) -> Tensor:
        """Mark the prototype of each image's cluster, [B] -> [B, C] bool; outliers have none."""
        clusters = torch.arange(len(self.prototypes), device=index.device)
        return self.labels[index].unsqueeze(1) == clusters

    def instance_positives(self, index: Tensor) -> Tensor:
        """Mark each image's own row and its cluster's rows: [B] rows -> [B, N] bool."""
        rows = torch.arange(len(self.labels), device=index.device)
        labels = self.labels[index].unsqueeze(1)
        return (index.unsqueeze(1) == rows) | ((labels == self.labels) & (labels != OUTLIER))

    def update(self, index: Tensor, feature: Tensor) -> None:
        """Update with features [B, D] of images ``index`` (GCL eq. 5, Cluster Contrast eq. 4)."""
        feature = feature.detach()
        blend_in_order(self.features, index, feature, self.instance_momentum)
        if self.proxies is not None:
            self.proxies.update(index, feature)
        labels = self.labels[index]
        clustered = labels != OUTLIER
        labels, feature = labels[clustered], feature[clustered]
        blend_in_order(self.prototypes, labels, feature, self.prototype_momentum)
        hardest = least_similar(feature, labels, self.hard_prototypes)
        blend_in_order(
            self.hard_prototypes, labels[hardest], feature[hardest], self.prototype_momentum
        )


def least_similar(features: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
    """Find the image of each cluster in a batch that is least similar to the prototype.

    Args:
        features: Unit features, [B, D].
        labels: Pseudo labels, [B], without outliers.
        prototypes: One prototype per cluster, [C, D].

    Returns:
        Position in 0..B-1 for every cluster in the batch, in the order of the clusters.
    """
    similarity = (features * prototypes[labels]).sum(dim=1)
    ascending = similarity.argsort(stable=True)
    by_cluster = ascending[labels[ascending].argsort(stable=True)]
    counts = labels.bincount(minlength=1)
    starts = counts.cumsum(0) - counts
    return by_cluster[starts[counts > 0]]
