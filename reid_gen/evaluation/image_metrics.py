"""Metrics of generated images: SSIM and PSNR with the ground truth, and Frechet distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor

from reid_gen.types import Float32Array


def ssim_and_psnr(generated: Tensor, target: Tensor) -> tuple[float, float]:
    """Compute mean SSIM (Wang et al., 2004; window of 11, sigma 1.5) and mean PSNR in decibels.

    Args:
        generated: Generated images in 0..1, [B, 3, H, W].
        target: Ground-truth images in 0..1, [B, 3, H, W].

    Returns:
        SSIM in -1..1 and PSNR in decibels.
    """
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    ssim = structural_similarity_index_measure(generated, target, data_range=1.0)
    psnr = peak_signal_noise_ratio(
        generated, target, data_range=1.0, dim=(1, 2, 3), reduction="elementwise_mean"
    )
    assert isinstance(ssim, torch.Tensor)
    return float(ssim), float(psnr)


def person_psnr(generated: Tensor, target: Tensor, person: Tensor) -> float:
    """Compute the mean PSNR in decibels over person pixels only; backgrounds do not count.

    Args:
        generated: Generated images in 0..1, [B, 3, H, W].
        target: Ground-truth images in 0..1, [B, 3, H, W].
        person: Person masks, [B, H, W] bool; images with an empty mask are left out.

    Returns:
        PSNR in decibels; infinite if an image has no error.
    """
    pixels = person.sum((1, 2))
    squared_error = ((generated - target).square().mean(1) * person).sum((1, 2))
    visible = pixels > 0
    return float((10 * torch.log10(pixels[visible] / squared_error[visible])).mean())


@dataclass(frozen=True)
class FeatureStatistics:
    """Mean and covariance of a set of features.

    Attributes:
        mean: Mean feature, [D] float64.
        covariance: Covariance matrix, [D, D] float64.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def feature_statistics(features: Float32Array) -> FeatureStatistics:
    """Compute mean and covariance of features [N, D] in float64."""
    exact = features.astype(np.float64)
    return FeatureStatistics(exact.mean(0), np.cov(exact, rowvar=False))


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """Compute the Frechet distance of two sets of features (Heusel et al., 2017).

    ``|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))`` of the means m and covariances S. With features of
    the 2015 Inception network this is FID; distances in another network's features are comparable
    only with each other.

    Args:
        first: Statistics of one set.
        second: Statistics of the other set.

    Returns:
        The distance, at least 0.
    """
    # (S S')^(1/2) has the same trace as (S^(1/2) S' S^(1/2))^(1/2), which is symmetric.
    root = _matrix_sqrt(first.covariance)
    product = root @ second.covariance @ root
    trace = np.sqrt(np.clip(linalg.eigvalsh(product), 0, None)).sum()
    mean_term = ((first.mean - second.mean) ** 2).sum()
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    return float(max(0.0, mean_term + traces - 2 * trace))


def _matrix_sqrt(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = linalg.eigh(matrix)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root
