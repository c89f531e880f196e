"""How good drawn pictures are: likeness to the truth, and Frechet distance between sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor

from reid_gen.types import Float32Array


def likeness(found: Tensor, wanted: Tensor) -> tuple[float, float]:
    """Mean SSIM (Wang et al., 2004; window of 11, sigma 1.5) and mean PSNR in decibels.

    Args:
        found: Images in 0..1, [B, 3, H, W].
        wanted: Likewise.

    Returns:
        SSIM in -1..1 and PSNR.
    """
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    ssim = structural_similarity_index_measure(found, wanted, data_range=1.0)
    psnr = peak_signal_noise_ratio(
        found, wanted, data_range=1.0, dim=(1, 2, 3), reduction="elementwise_mean"
    )
    assert isinstance(ssim, torch.Tensor)
    return float(ssim), float(psnr)


def person_psnr(found: Tensor, wanted: Tensor, person: Tensor) -> float:
    """Mean PSNR in decibels over the pixels of people alone; backgrounds do not count.

    Args:
        found: Images in 0..1, [B, 3, H, W].
        wanted: Likewise.
        person: Where people are, [B, H, W] bool; images without any are left out.

    Returns:
        Decibels; infinite if all are equal.
    """
    pixels = person.sum((1, 2))
    error = ((found - wanted).square().mean(1) * person).sum((1, 2))
    shown = pixels > 0
    return float((10 * torch.log10(pixels[shown] / error[shown])).mean())


@dataclass(frozen=True)
class FeatureStatistics:
    """Of a set of features.

    Attributes:
        mean: [D] float64.
        covariance: [D, D] float64.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def feature_statistics(features: Float32Array) -> FeatureStatistics:
    """Mean and covariance of features [N, D]."""
    exact = features.astype(np.float64)
    return FeatureStatistics(exact.mean(0), np.cov(exact, rowvar=False))


def frechet_distance(one: FeatureStatistics, other: FeatureStatistics) -> float:
    """``|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))`` of two sets of features (Heusel et al., 2017).

    With the features of the Inception network of 2015 this is FID; with those of another network
    it is comparable only among sets measured with the same.

    Args:
        one: Of a set.
        other: Of another.

    Returns:
        The distance, at least 0.
    """
    # The square root of a product of covariances has the trace of this symmetric one.
    root = _root(one.covariance)
    middle = root @ other.covariance @ root
    trace = np.sqrt(np.clip(linalg.eigvalsh(middle), 0, None)).sum()
    apart = ((one.mean - other.mean) ** 2).sum()
    both = np.trace(one.covariance) + np.trace(other.covariance)
    return float(max(0.0, apart + both - 2 * trace))


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = linalg.eigh(matrix)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root
