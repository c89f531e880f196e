"""Checks of generated views: silhouette agreement, and difference from the source image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from reid_gen.types import Float32Array

THUMBNAIL = (32, 16)
"""Height and width at which images are compared, so that noise and JPEG artefacts average out."""


def mask_iou(actual: NDArray[np.bool_], expected: NDArray[np.bool_]) -> Float32Array:
    """Compute the intersection over union [B] of masks [B, ..., H, W]; two empty masks give 1."""
    a, b = actual.reshape(len(actual), -1), expected.reshape(len(expected), -1)
    union = (a | b).sum(1)
    return np.where(union > 0, (a & b).sum(1) / np.maximum(union, 1), 1).astype(np.float32)


def min_difference(images: Tensor, views: Tensor) -> Float32Array:
    """Compute the distance of each view to the nearest of its source image and earlier views.

    The distance of two images is the mean absolute difference of their thumbnails, or of one
    thumbnail and the mirrored other, whichever is smaller. Source: own.

    Args:
        images: Source images in 0..1, [b, 3, H, W].
        views: Generated views in 0..1, [b, V, 3, H, W].

    Returns:
        Distances in 0..1, [b, V]; 0 is a copy.
    """
    members = torch.cat([images.unsqueeze(1), views], dim=1)  # [b, 1 + V, 3, H, W]
    small = F.interpolate(members.flatten(0, 1), THUMBNAIL, mode="bilinear", antialias=True)
    flat = small.view(*members.shape[:2], -1)
    mirrored = small.flip(3).view(*members.shape[:2], -1)
    distance = torch.minimum(torch.cdist(flat, flat, p=1), torch.cdist(flat, mirrored, p=1))
    distance = distance / flat.shape[2]
    earlier = torch.ones(distance.shape[1:], dtype=torch.bool).tril(-1)
    nearest = distance.masked_fill(~earlier, float("inf")).amin(dim=2)
    return nearest[:, 1:].float().cpu().numpy()
