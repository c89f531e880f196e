"""Settings of the clustering that makes pseudo labels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from reid_gen.choices import ClusteringName, KnnName
from reid_gen.config.section import Count, Neighbours, Section


class FixedEps(Section):
    """DBSCAN radius as a fixed Jaccard distance in (0, 1)."""

    kind: Literal["fixed"]
    value: Annotated[float, Field(gt=0, lt=1)] = 0.6


class ShareEps(Section):
    """DBSCAN radius as the mean of the smallest ``share`` of all pairwise distances."""

    kind: Literal["share"]
    share: Annotated[float, Field(gt=0, lt=1)] = 1.6e-3
    copies: bool = True
    """False leaves pairs at distance 0 out of all pairs (release)."""


class Clustering(Section):
    """k-reciprocal Jaccard distance, and what makes clusters of it."""

    k1: Annotated[Neighbours, Field(ge=2)] = 30
    """Neighbours of the reciprocal sets."""
    k1_counts_self: bool = True
    """True: the image itself is one of the k1 (SpCL line); False: k1 others (Zhong et al.)."""
    k2: Neighbours = 6
    eps: Annotated[FixedEps | ShareEps, Field(discriminator="kind")] | None = None
    """Radius; ``{kind: fixed}`` unless set. HDBSCAN has none."""
    min_samples: Count = 4
    neighbours: KnnName = "exact"
    """``ivf`` and ``hnsw`` are approximate; the journal then says their recall."""
    camera_norm: bool = False
    """Features are standardised within each camera before they are clustered."""
    algorithm: ClusteringName = "dbscan"

    @model_validator(mode="before")
    @classmethod
    def _default_eps(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("algorithm") == "hdbscan":
            return values
        return {**values, "eps": values.get("eps") or {"kind": "fixed"}}

    @model_validator(mode="after")
    def _no_radius(self) -> Clustering:
        if self.algorithm == "hdbscan" and self.eps is not None:
            raise ValueError("algorithm hdbscan has no eps; leave eps out")
        return self
