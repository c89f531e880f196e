"""The memory bank: one feature per image, prototypes per cluster, camera proxies."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reid_gen.memory.blend import blend_in_order
from reid_gen.memory.cluster_means import cluster_means
from reid_gen.memory.proxies import CameraProxies
from reid_gen.runtime.spans import span
from reid_gen.runtime.transfer import to_device
from reid_gen.types import OUTLIER, Int64Array


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
        self._host_labels: Int64Array = labels.cpu().numpy()
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

    @span("memory bank")
    def update(self, rows: Int64Array, feature: Tensor) -> None:
        """Update with features of images (GCL eq. 5, Cluster Contrast eq. 4).

        Args:
            rows: Rows of the images, [B], in host memory.
            feature: Features of the images, [B, D].
        """
        feature = feature.detach()
        blend_in_order(self.features, rows, feature, self.instance_momentum)
        if self.proxies is not None:
            self.proxies.update(rows, feature)
        labels = self._host_labels[rows]
        clustered = np.flatnonzero(labels != OUTLIER)
        if not len(clustered):
            return
        labels, feature = labels[clustered], feature[to_device(clustered, feature.device)]
        blend_in_order(self.prototypes, labels, feature, self.prototype_momentum)
        clusters, cluster_index = np.unique(labels, return_inverse=True)
        prototypes = self.hard_prototypes[to_device(clusters, feature.device)]
        hardest = least_similar(feature, to_device(cluster_index, feature.device), prototypes)
        blend_in_order(self.hard_prototypes, clusters, feature[hardest], self.prototype_momentum)


def least_similar(features: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
    """Find the image of each cluster that is least similar to the cluster's prototype.

    Args:
        features: Unit features, [B, D].
        labels: Cluster of each image, [B] in 0..C-1.
        prototypes: One prototype per cluster, [C, D].

    Returns:
        Position of the image in 0..B-1, the first of equals, [C].
    """
    similarity = (features * prototypes[labels]).sum(dim=1)
    ascending = similarity.argsort(stable=True)
    by_cluster = ascending[labels[ascending].argsort(stable=True)]
    clusters = torch.arange(len(prototypes), device=labels.device)
    return by_cluster[torch.searchsorted(labels[by_cluster], clusters)]
