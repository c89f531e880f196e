"""Whether made pictures show what was asked for, and anything new."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from reid_gen.types import Float32Array

THUMBNAIL = (32, 16)
"""Rows and columns at which pictures are compared, so that noise and JPEG do not count."""


def overlap(found: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Float32Array:
    """Intersection over union of masks [B, ..., H, W], [B] in 0..1; two empty ones give 1."""
    flat, other = found.reshape(len(found), -1), wanted.reshape(len(wanted), -1)
    union = (flat | other).sum(1)
    return np.where(union > 0, (flat & other).sum(1) / np.maximum(union, 1), 1).astype(np.float32)


def min_difference(pictures: Tensor, views: Tensor) -> Float32Array:
    """How far each view is from its image and from the views before it, whichever is nearest.

    Mean absolute difference of thumbnails, whose mirrored form counts too. Source: own.

    Args:
        pictures: In 0..1, [b, 3, H, W].
        views: Likewise, [b, V, 3, H, W].

    Returns:
        [b, V] in 0..1; 0 is a copy.
    """
    together = torch.cat([pictures.unsqueeze(1), views], dim=1)
    small = F.interpolate(together.flatten(0, 1), THUMBNAIL, mode="bilinear", antialias=True)
    flat = small.view(*together.shape[:2], -1)
    mirrored = small.flip(3).view(*together.shape[:2], -1)
    apart = torch.minimum(torch.cdist(flat, flat, p=1), torch.cdist(flat, mirrored, p=1))
    apart = apart / flat.shape[2]
    before = torch.ones(apart.shape[1:], dtype=torch.bool).tril(-1)
    nearest = apart.masked_fill(~before, float("inf")).amin(dim=2)
    return nearest[:, 1:].float().cpu().numpy()
