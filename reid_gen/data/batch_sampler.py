"""Where batches come from: images, and how they are drawn by label or without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reid_gen.data.loaders import ImageLoader
from reid_gen.data.sampling import MIN_BATCH, identity_batches, shuffled_batches
from reid_gen.errors import UserError
from reid_gen.types import OUTLIER, Int64Array


@dataclass(frozen=True)
class Pool:
    """Training images, and how batches of them are drawn.

    Attributes:
        loader: The N images.
        batch: Images per batch.
        instances: Images per cluster in a batch; None draws clustered images plainly.
        camids: Camera of each image, [N], if a cluster's images are to be spread over them.
    """

    loader: ImageLoader
    batch: int
    instances: int | None
    camids: Int64Array | None = None

    def by_label(
        self, labels: Int64Array, iterations: int | None, rng: np.random.Generator
    ) -> Iterator[Int64Array]:
        """Batches of clustered images; without ``iterations`` about each once."""
        clustered = np.flatnonzero(labels != OUTLIER)
        count = iterations or steps(len(clustered), self.batch)
        if self.instances is None:
            return shuffled_batches(clustered, batch=self.batch, iterations=count, rng=rng)
        return identity_batches(
            labels,
            batch=self.batch,
            instances=self.instances,
            iterations=count,
            rng=rng,
            camids=self.camids,
        )


def steps(rows: int, batch: int) -> int:
    """Whole batches in a pass over some rows, at least 1."""
    return max(1, rows // batch)


def share(rows: Int64Array, rank: int, processes: int) -> Int64Array:
    """The part of a batch that one of several processes computes.

    Raises:
        UserError: If a process would get fewer images than batch norm needs.
    """
    if len(rows) < MIN_BATCH * processes:
        raise UserError(
            f"a batch has {len(rows)} image(s) for {processes} process(es), and batch norm needs "
            f"{MIN_BATCH} images in each; raise sampler.batch (generator.batch where the generator "
            "learns alone), start fewer processes, or change clustering so that more images are in "
            "clusters"
        )
    return np.array_split(rows, processes)[rank]
