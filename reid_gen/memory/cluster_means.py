"""Cluster means, from which prototypes are initialised."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_gen.types import OUTLIER


def cluster_means(features: Tensor, labels: Tensor) -> Tensor:
    """Compute the L2-normalised mean feature of every cluster.

    Args:
        features: Features, [N, D].
        labels: Pseudo labels, [N] int64, clusters numbered from 0 without gaps; -1 is an outlier.

    Returns:
        Unit features, [C, D] float32.
    """
    clustered = labels != OUTLIER
    count = int(labels.max()) + 1 if len(labels) else 0
    total = torch.zeros(count, features.shape[1], device=features.device)
    total.index_add_(0, labels[clustered], features[clustered].float())
    return F.normalize(total, dim=1)
