"""Pseudo labels from features: k-reciprocal Jaccard distance, eps, clustering algorithm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from typing_extensions import assert_never

from reid_gen.choices import ClusteringName, KnnName
from reid_gen.cluster.algorithms import ALGORITHMS
from reid_gen.cluster.camera_norm import normalise_per_camera
from reid_gen.cluster.jaccard import jaccard_distances
from reid_gen.cluster.knn.neighbours import nearest
from reid_gen.errors import UserError, join_some
from reid_gen.runtime.memory import memory_errors
from reid_gen.types import OUTLIER, Float32Array, Int64Array, Scalars


@dataclass(frozen=True)
class FixedEps:
    """Fixed clustering radius.

    Attributes:
        value: Jaccard distance in (0, 1).

    Raises:
        UserError: If the value is out of this range.
    """

    value: float

    def __post_init__(self) -> None:
        if not 0 < self.value < 1:
            raise UserError(
                f"eps must be in (0, 1), got {self.value:g}: at 0 there are no neighbours, at 1 "
                "everything is one cluster"
            )


@dataclass(frozen=True)
class ShareEps:
    """Clustering radius as the mean of the smallest ``share`` of pairwise distances (MMT, GCL).

    Attributes:
        share: Share of the pairs, in (0, 1).
        copies: Whether pairs at distance 0 count; the code of MMT and GCL leaves them out.

    Raises:
        UserError: If the share is not in (0, 1).
    """

    share: float
    copies: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UserError(f"the share of pairs must be in (0, 1), got {self.share:g}")


EpsRule = FixedEps | ShareEps
DEFAULT_K1, DEFAULT_K2 = 30, 6
"""k1 and k2 of the literature, for thousands of images."""
SMALL_SET = 8 * DEFAULT_K1
"""Number of images below which smaller k1 and k2 are the default.

With k1 = 30, 24 crops of six people become one cluster.
"""
_CHECK_ROWS = 65536
"""Rows whose norms are checked at once."""


@dataclass(frozen=True)
class PseudoLabels:
    """Pseudo labels, and the parameters that they were computed with.

    Attributes:
        labels: Pseudo label of each image, [N] int64, numbered from 0 in the order of the clusters'
            first core images; -1 is an outlier.
        eps: Clustering radius; None with HDBSCAN.
        k1: Number of neighbours of the reciprocal sets.
        k2: Number of images over which encodings were averaged (local query expansion).
        recall: Recall of the nearest-neighbour search; 1 if it is exact.
    """

    labels: Int64Array
    eps: float | None
    k1: int
    k2: int
    recall: float = 1.0

    @property
    def clusters(self) -> int:
        """Number of clusters C."""
        return int(self.labels.max(initial=OUTLIER)) + 1

    def summary(self) -> Scalars:
        """Number of clusters and outliers, largest cluster, eps, and recall if below 1."""
        optional = {"eps": self.eps, "recall": None if self.recall == 1 else self.recall}
        sizes = np.bincount(self.labels[self.labels != OUTLIER], minlength=1)
        return {
            "clusters": self.clusters,
            "outliers": int((self.labels == OUTLIER).sum()),
            "largest_cluster": int(sizes.max()),
            **{name: value for name, value in optional.items() if value is not None},
        }


@memory_errors("clustering", "lower k1 and k2, or give a fixed eps, which keeps fewer pairs")
def pseudo_labels(
    features: Float32Array,
    *,
    eps: EpsRule | None = None,
    k1: int | None = None,
    k1_counts_self: bool = True,
    k2: int | None = None,
    min_samples: int = 4,
    neighbours: KnnName = "exact",
    algorithm: ClusteringName = "dbscan",
    camids: Int64Array | None = None,
) -> PseudoLabels:
    """Compute pseudo labels of features from any encoder.

    Args:
        features: L2-normalised features, [N, D] float32 or float16; may be memory-mapped.
        eps: Rule for the radius; required unless the algorithm is ``hdbscan``, which has none.
        k1: Number of neighbours of the reciprocal sets; None for the default of
            :func:`default_k1_k2`.
        k1_counts_self: Whether the image itself is one of the k1.
        k2: Number of images over which encodings are averaged; None as for k1.
        min_samples: Number of images within eps, the image itself included, that make it a core
            point; for HDBSCAN and average linkage the smallest cluster size.
        neighbours: Nearest-neighbour search, a key of ``neighbours.METHODS``.
        algorithm: Clustering algorithm, a key of ``algorithms.ALGORITHMS``.
        camids: Camera of each row, [N], for per-camera standardisation; None for no
            standardisation.

    Returns:
        One pseudo label per image.

    Raises:
        UserError: If features are not L2-normalised, a number is too small, a name is unknown, or
            eps is missing, or given with HDBSCAN.
    """
    check_features(features)
    default_k1, default_k2 = default_k1_k2(len(features))
    k1 = default_k1 if k1 is None else k1
    k2 = default_k2 if k2 is None else k2
    for name, value, minimum in (("k1", k1, 2), ("k2", k2, 1), ("min_samples", min_samples, 1)):
        if value < minimum:
            raise UserError(f"{name} must be at least {minimum}, got {value}")
    if algorithm not in ALGORITHMS:
        raise UserError(
            f"unknown clustering algorithm {algorithm!r}; known: {', '.join(ALGORITHMS)}"
        )
    if (eps is None) == ALGORITHMS[algorithm].needs_radius:
        problem = "needs an eps" if eps is None else "has no eps; leave it out"
        raise UserError(f"clustering algorithm {algorithm} {problem}")
    if camids is not None:
        features = normalise_per_camera(features, camids)
    knn = nearest(features, max(k1 if k1_counts_self else k1 + 1, k2), neighbours)
    # With a fixed radius no algorithm reads pairs beyond it; HDBSCAN and ShareEps need all pairs.
    max_distance = eps.value if isinstance(eps, FixedEps) else 1.0
    distance = jaccard_distances(
        features, knn, k1=k1, k2=k2, counts_self=k1_counts_self, max_distance=max_distance
    )
    radius = None if eps is None else choose_eps(distance, eps)
    labels = ALGORITHMS[algorithm].run(distance, 1.0 if radius is None else radius, min_samples)
    return PseudoLabels(labels, radius, k1, k2, knn.recall)


def default_k1_k2(count: int) -> tuple[int, int]:
    """Return default k1 and k2 for ``count`` images: 30 and 6 from ``SMALL_SET`` on, smaller below.

    The number of images per person is unknown, so k1 grows with the set. Of the rules tried on 8 to
    200 rendered crops with 4 to 8 crops per person, k1 = max(6, count / 8) was best. Source: own.
    """
    k1 = min(DEFAULT_K1, max(6, count * DEFAULT_K1 // SMALL_SET))
    return k1, min(DEFAULT_K2, k1 // 2)


def check_features(features: Float32Array, min_rows: int = 2) -> None:
    """Check the shape and dtype of features, and that their rows are finite and L2-normalised.

    Args:
        features: Features, [N, D].
        min_rows: Smallest number of rows.

    Raises:
        UserError: If a check fails; it names the first bad rows.
    """
    if features.ndim != 2 or len(features) < min_rows or not features.shape[1]:
        raise UserError(
            f"features must be [N, D] with at least {min_rows} rows, got {features.shape}"
        )
    if features.dtype not in (np.float32, np.float16):
        raise UserError(f"features must be float32 or float16, got {features.dtype}")
    blocks = (features[s : s + _CHECK_ROWS] for s in range(0, len(features), _CHECK_ROWS))
    norms = np.concatenate(
        [np.linalg.norm(np.asarray(block, np.float32), axis=1) for block in blocks]
    )
    for bad, problem, way_out in (
        (~np.isfinite(norms), "not finite", "leave them out"),
        (np.abs(norms - 1) > 1e-2, "not of length 1", "divide each row by its L2 norm"),
    ):
        if bad.any():
            rows = join_some([str(row) for row in np.flatnonzero(bad)])
            raise UserError(f"{int(bad.sum())} rows of features are {problem}: {rows}; {way_out}")


def choose_eps(distance: sparse.csr_matrix, rule: EpsRule) -> float:
    """Compute the clustering radius from sparse distances.

    Args:
        distance: Symmetric Jaccard distances, [N, N]; absent pairs have distance 1.
        rule: How the radius is chosen.

    Returns:
        The radius.

    Raises:
        UserError: If ``ShareEps`` gives 0, because all of its pairs are duplicates.
    """
    match rule:
        case FixedEps(value):
            return value
        case ShareEps(share, copies):
            size = distance.shape[0]
            stored = np.sort(sparse.triu(distance, k=1).data)
            excluded = 0 if copies else int(np.searchsorted(stored, 0, side="right"))
            stored = stored[excluded:]
            count = max(1, round(share * (size * (size - 1) / 2 - excluded)))
            smallest = stored[:count].astype(np.float64)
            # Pairs beyond the stored ones have distance 1.
            radius = float((smallest.sum() + (count - len(smallest))) / count)
            if radius == 0:
                raise UserError(
                    f"the nearest {count} of all pairs (share {share:g}) are at distance 0, and "
                    "eps cannot be 0; give a larger share, or leave duplicates out (copies: false)"
                )
            return radius
        case _:
            assert_never(rule)
