"""The batch sampler of training, and the division of a batch over processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reid_gen.data.loaders import ImageLoader
from reid_gen.data.sampling import MIN_BATCH, identity_batches, shuffled_batches
from reid_gen.errors import UserError
from reid_gen.types import OUTLIER, Int64Array


@dataclass(frozen=True)
class BatchSampler:
    """Training images, and how batches of them are sampled.

    Attributes:
        loader: Loader of the N training images.
        batch: Images per batch.
        instances: Images per cluster in a batch (K of P x K sampling); None shuffles all
            clustered images.
        camids: Camera of each image, [N], to spread the images of a cluster over cameras; None
            ignores cameras.
    """

    loader: ImageLoader
    batch: int
    instances: int | None
    camids: Int64Array | None = None

    def clustered_batches(
        self, labels: Int64Array, iterations: int | None, rng: np.random.Generator
    ) -> Iterator[Int64Array]:
        """Sample batches of clustered images; outliers are never sampled.

        Args:
            labels: Pseudo labels, [N]; -1 is an outlier.
            iterations: Number of batches; None makes as many as pass once over clustered images.
            rng: Source of all randomness.

        Returns:
            Row indices of the images, one array [B] per batch.
        """
        clustered = np.flatnonzero(labels != OUTLIER)
        count = iterations or steps_per_epoch(len(clustered), self.batch)
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


def steps_per_epoch(images: int, batch: int) -> int:
    """Number of full batches in one pass over the images, at least 1."""
    return max(1, images // batch)


def rows_of_processes(rows: Int64Array, processes: int) -> Int64Array:
    """Divide the rows of a batch over processes, [B] to [processes, b].

    All processes compute equally many, so that the mean over processes is that over images; of a
    batch that cannot be divided, as there are too few clusters to fill it, the last rows are left
    out.

    Raises:
        UserError: If a process would get fewer images than batch norm needs.
    """
    if len(rows) < MIN_BATCH * processes:
        raise UserError(
            f"a batch has {len(rows)} image(s) for {processes} process(es), and batch norm needs "
            f"at least {MIN_BATCH} images in each; raise sampler.batch (generator.batch where only "
            "the generator is trained), start fewer processes, or change clustering so that more "
            "images are in clusters"
        )
    return rows[: len(rows) // processes * processes].reshape(processes, -1)
