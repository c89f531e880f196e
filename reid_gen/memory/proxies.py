"""Camera proxies: one momentum-updated feature per cluster and camera."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reid_gen.memory.blend import blend_in_order
from reid_gen.memory.cluster_means import cluster_means
from reid_gen.runtime.transfer import to_device
from reid_gen.types import OUTLIER, Int64Array


class CameraProxies:
    """Features of each cluster in each of its cameras (CAP, Wang et al., AAAI 2021).

    Args:
        features: Unit features of all training images, [N, D].
        labels: Pseudo labels of the images, [N] int64; -1 is an outlier.
        camids: Cameras of the images, [N] int64.
        momentum: Share of the old value that an update keeps, in [0, 1).

    Attributes:
        features: Proxy features, [P, D], initialised with the mean of their images.
        clusters: Cluster of each proxy, [P].
        of_image: Proxy of each image, [N]; -1 for an outlier.
    """

    def __init__(self, features: Tensor, labels: Tensor, camids: Tensor, momentum: float) -> None:
        clustered = labels != OUTLIER
        pairs = torch.stack([labels, camids], dim=1)[clustered]
        self.of_image = torch.full_like(labels, OUTLIER)
        proxies, self.of_image[clustered] = torch.unique(pairs, dim=0, return_inverse=True)
        self._host_proxies: Int64Array = self.of_image.cpu().numpy()
        self.clusters = proxies[:, 0]
        self.labels = labels
        self.features = cluster_means(features, self.of_image)
        self.momentum = momentum

    def positives(self, index: Tensor) -> Tensor:
        """Mark all proxies of each image's cluster, [B] -> [B, P] bool; outliers have none."""
        positives: Tensor = self.labels[index].unsqueeze(1) == self.clusters
        return positives

    def update(self, rows: Int64Array, feature: Tensor) -> None:
        """Update the proxies of the images ``rows`` [B] with their features [B, D]."""
        proxies = self._host_proxies[rows]
        clustered = np.flatnonzero(proxies != OUTLIER)
        feature = feature.detach()[to_device(clustered, feature.device)]
        blend_in_order(self.features, proxies[clustered], feature, self.momentum)
