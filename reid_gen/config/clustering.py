"""Settings of the clustering that assigns pseudo labels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from reid_gen.choices import ClusteringName, KnnName
from reid_gen.config.section import Count, Neighbours, Section


class FixedEps(Section):
    """DBSCAN radius given as a Jaccard distance."""

    kind: Literal["fixed"]
    value: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Radius as a Jaccard distance, in (0, 1)."""


class ShareEps(Section):
    """DBSCAN radius computed as the mean of the smallest pairwise distances (MMT, GCL)."""

    kind: Literal["share"]
    share: Annotated[float, Field(gt=0, lt=1)] = 1.6e-3
    """Share of all pairwise distances that are averaged, the smallest first; in (0, 1)."""
    copies: bool = True
    """Whether pairs at distance 0 (duplicate images) count; the code of MMT and GCL ignores them
    (``false``)."""


class Clustering(Section):
    """Clustering of the k-reciprocal Jaccard distance (Zhong et al.)."""

    k1: Annotated[Neighbours, Field(ge=2)] = 30
    """Nearest neighbours among which reciprocal neighbours are searched (k1 of Zhong et al.)."""
    k1_counts_self: bool = True
    """Whether the image itself is one of its ``k1`` neighbours (SpCL and its successors); ``false``
    takes ``k1`` other images (Zhong et al.)."""
    k2: Neighbours = 6
    """Nearest neighbours over which an image's encoding is averaged (k2 of Zhong et al.)."""
    eps: Annotated[FixedEps | ShareEps, Field(discriminator="kind")] | None = None
    """Neighbourhood radius; ``{kind: fixed}`` by default. HDBSCAN has none."""
    min_samples: Count = 4
    """Fewest images within the radius of a core point, itself included."""
    neighbours: KnnName = "exact"
    """Nearest-neighbour search; ``ivf`` and ``hnsw`` are approximate, and the metrics log then
    holds their recall."""
    camera_norm: bool = False
    """Whether features are standardised per camera before clustering."""
    algorithm: ClusteringName = "dbscan"
    """Clustering algorithm."""

    @model_validator(mode="before")
    @classmethod
    def _default_eps(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("algorithm") == "hdbscan":
            return values
        return {"eps": {"kind": "fixed"}, **values}

    @model_validator(mode="after")
    def _eps_fits_algorithm(self) -> Clustering:
        if self.algorithm == "hdbscan" and self.eps is not None:
            raise ValueError("algorithm hdbscan has no eps; leave eps out, or set it to null")
        if self.algorithm != "hdbscan" and self.eps is None:
            raise ValueError(
                f"algorithm {self.algorithm} needs an eps; leave eps out for the default"
            )
        return self
