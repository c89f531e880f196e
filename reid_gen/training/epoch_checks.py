"""Checks that stop an epoch: collapsed clusters, a non-finite loss, not one generated view."""

from __future__ import annotations

import math

from reid_gen.cluster.pseudo_labels import PseudoLabels, default_k1_k2
from reid_gen.data.sampling import MIN_BATCH
from reid_gen.errors import UserError
from reid_gen.training.stages import EpochPosition
from reid_gen.types import Scalars


def check_clusters(clusters: PseudoLabels, images: int) -> None:
    """Refuse pseudo labels with fewer than two clusters.

    Args:
        clusters: Pseudo labels of the epoch.
        images: Number of clustered images.

    Raises:
        UserError: If there are fewer than two.
    """
    if clusters.clusters < 2:
        k1, k2 = default_k1_k2(images)
        at_eps = "" if clusters.eps is None else f" at eps {clusters.eps:.3f}"
        raise UserError(
            f"clustering found {clusters.clusters} cluster(s) among {images} images{at_eps}, and "
            "training needs at least 2; change clustering.eps (larger if most images are "
            "outliers, smaller if one cluster holds them all), clustering.min_samples, or "
            f"clustering.k1 and k2 ({k1} and {k2} suit so many images), or start from better "
            "weights"
        )


def check_finite(terms: Scalars, position: EpochPosition, step: int) -> None:
    """Refuse a loss that is NaN or infinite.

    Args:
        terms: Loss terms of a step.
        position: Position of the epoch.
        step: Number of the step in the epoch, from 1.

    Raises:
        UserError: If a term is.
    """
    if not math.isfinite(sum(terms.values())):
        raise UserError(
            f"the loss is {dict(terms)} in step {step} of epoch {position.number}; lower the "
            "learning rates in a "
            "new run with start_from, which begins with this run's last checkpoint"
        )


def check_views(images: int, position: EpochPosition) -> None:
    """Refuse an epoch of a stage with views in which no image got one.

    Args:
        images: Number of images that got views, over all steps.
        position: Position of the epoch.

    Raises:
        UserError: If it is 0.
    """
    if not images:
        raise UserError(
            f"no image got a view in epoch {position.number}: in every batch fewer than "
            f"{MIN_BATCH} images have what the generator needs; make bodies or groups for more "
            "images, lower generator.min_score, or raise sampler.batch"
        )
