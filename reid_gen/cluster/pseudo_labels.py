"""From features to pseudo labels: Jaccard distance, eps rule, DBSCAN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from typing_extensions import assert_never

from reid_gen.choices import ClusteringName, KnnName
from reid_gen.cluster.algorithms import ALGORITHMS
from reid_gen.cluster.camera_norm import camera_normalised
from reid_gen.cluster.jaccard import jaccard_distances
from reid_gen.cluster.knn.neighbours import nearest
from reid_gen.errors import UserError, join_some
from reid_gen.types import OUTLIER, Float32Array, Int64Array, Scalars


@dataclass(frozen=True)
class FixedEps:
    """DBSCAN radius as a Jaccard distance in (0, 1).

    Raises:
        UserError: If it is out of this range.
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
    """DBSCAN radius as the mean of the smallest ``share`` of all pairwise distances (MMT, GCL).

    Attributes:
        share: In (0, 1).
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
K1, K2 = 30, 6
"""Of the field, for sets of thousands of images."""
FEW = 8 * K1
"""Images below which these make clusters of everything: 24 crops of six people are one at k1 30."""
_CHECKED = 65536


@dataclass(frozen=True)
class PseudoLabels:
    """What clustering found.

    Attributes:
        labels: [N] int64; clusters count from 0 in the order of their first core image; -1 is an
            outlier.
        eps: The radius that was used; None with HDBSCAN.
        k1: Neighbours of the reciprocal sets that were taken.
        k2: Images over which encodings were averaged.
        recall: Of the neighbours that it was made from; 1 if they are exact.
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
        """Clusters, outliers, size of the largest cluster, eps: what an epoch reports."""
        told = {"eps": self.eps, "recall": None if self.recall == 1 else self.recall}
        sizes = np.bincount(self.labels[self.labels != OUTLIER], minlength=1)
        return {
            "clusters": self.clusters,
            "outliers": int((self.labels == OUTLIER).sum()),
            "largest_cluster": int(sizes.max()),
            **{name: value for name, value in told.items() if value is not None},
        }


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
    """Cluster features without labels, whatever they come from.

    Args:
        features: Unit rows, [N, D] float32, or float16, which may be memory-mapped.
        eps: How the radius is chosen; only HDBSCAN has none.
        k1: Neighbours of the reciprocal sets; None is what :func:`usual_neighbours` says.
        k1_counts_self: Whether the image itself is one of the k1.
        k2: Images over which encodings are averaged; None likewise.
        min_samples: Images within eps, itself included, that make a core point; of HDBSCAN and
            average linkage the fewest images of a cluster.
        neighbours: A key of ``neighbours.METHODS``.
        algorithm: A key of ``algorithms.ALGORITHMS``.
        camids: Camera of each row, [N], to standardise features within cameras; None does not.

    Returns:
        A label per image.

    Raises:
        UserError: If features are no unit rows, a number is too small, a name is unknown, or eps
            is missing or too much.
    """
    check_features(features)
    usual = usual_neighbours(len(features))
    k1, k2 = (default if own is None else own for own, default in zip((k1, k2), usual, strict=True))
    for name, value, least in (("k1", k1, 2), ("k2", k2, 1), ("min_samples", min_samples, 1)):
        if value < least:
            raise UserError(f"{name} must be at least {least}, got {value}")
    if algorithm not in ALGORITHMS:
        raise UserError(
            f"unknown clustering algorithm {algorithm!r}; known: {', '.join(ALGORITHMS)}"
        )
    if (eps is None) == ALGORITHMS[algorithm].needs_radius:
        lack = "needs an eps" if eps is None else "has no eps; leave it out"
        raise UserError(f"clustering algorithm {algorithm} {lack}")
    if camids is not None:
        features = camera_normalised(features, camids)
    found = nearest(features, max(k1 if k1_counts_self else k1 + 1, k2), neighbours)
    # Only HDBSCAN and the share rule look at pairs beyond a radius that is known.
    most = eps.value if isinstance(eps, FixedEps) else 1.0
    distance = jaccard_distances(
        features, found, k1=k1, k2=k2, counts_self=k1_counts_self, most=most
    )
    radius = None if eps is None else choose_eps(distance, eps)
    labels = ALGORITHMS[algorithm].run(distance, 1.0 if radius is None else radius, min_samples)
    return PseudoLabels(labels, radius, k1, k2, found.recall)


def usual_neighbours(count: int) -> tuple[int, int]:
    """k1 and k2 for a number of images: those of the field from ``FEW`` on, fewer below.

    A reciprocal set should hold about the images of one person. With an eighth of few images, and
    six at least, the labels of 8 to 200 rendered crops agree best with 4 to 8 of each person.
    """
    k1 = min(K1, max(6, count * K1 // FEW))
    return k1, min(K2, k1 // 2)


def check_features(features: Float32Array, least: int = 2) -> None:
    """See that features can be compared.

    Args:
        features: [N, D].
        least: Rows that there must be.

    Raises:
        UserError: Naming the first rows that are not finite, or not of length 1.
    """
    if features.ndim != 2 or len(features) < least or not features.shape[1]:
        raise UserError(f"features must be [N, D] with N of {least} at least, got {features.shape}")
    if features.dtype not in (np.float32, np.float16):
        raise UserError(f"features must be float32 or float16, got {features.dtype}")
    blocks = range(0, len(features), _CHECKED)
    lengths = np.concatenate(
        [np.linalg.norm(np.asarray(features[s : s + _CHECKED], np.float32), axis=1) for s in blocks]
    )
    for bad, fault, way_out in (
        (~np.isfinite(lengths), "not finite", "leave them out"),
        (np.abs(lengths - 1) > 1e-2, "not of length 1", "divide each row by its length"),
    ):
        if bad.any():
            rows = join_some([str(row) for row in np.flatnonzero(bad)])
            raise UserError(f"{int(bad.sum())} rows of features are {fault}: {rows}; {way_out}")


def choose_eps(distance: sparse.csr_matrix, rule: EpsRule) -> float:
    """Apply an eps rule to sparse distances (absent pairs have distance 1).

    Args:
        distance: Symmetric [N, N], as :func:`~reid_gen.cluster.jaccard.jaccard_distances` gives it.
        rule: The rule.

    Returns:
        The radius.

    Raises:
        UserError: If a share's distances are all 0, as those of copies are.
    """
    match rule:
        case FixedEps(value):
            return value
        case ShareEps(share, copies):
            size = distance.shape[0]
            stored = np.sort(sparse.triu(distance, k=1).data)
            left_out = 0 if copies else int(np.searchsorted(stored, 0, side="right"))
            stored = stored[left_out:]
            wanted = max(1, round(share * (size * (size - 1) / 2 - left_out)))
            smallest = stored[:wanted].astype(np.float64)
            radius = float((smallest.sum() + (wanted - len(smallest))) / wanted)
            if radius == 0:
                raise UserError(
                    f"the nearest {wanted} of all pairs (share {share:g}) are at distance 0, and "
                    "eps cannot be 0; give a larger share, or leave copies out"
                )
            return radius
        case _:
            assert_never(rule)
