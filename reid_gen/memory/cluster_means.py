"""What clusters start from: the means of their images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_gen.types import OUTLIER


def cluster_means(features: Tensor, labels: Tensor) -> Tensor:
    """Unit mean feature of every cluster.

    Args:
        features: [N, D].
        labels: Pseudo labels, [N] int64, clusters numbered from 0 without gaps; -1 is an outlier.

    Returns:
        [C, D] in float32.
    """
    clustered = labels != OUTLIER
    count = int(labels.max()) + 1 if len(labels) else 0
    total = torch.zeros(count, features.shape[1], device=features.device)
    total.index_add_(0, labels[clustered], features[clustered].float())
    return F.normalize(total, dim=1)
