"""Pre-training on groups of pictures that share a pose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from reid_gen.data.batch_sampler import Pool
from reid_gen.data.loaders import DecodedBatch
from reid_gen.data.transforms import Augmentation, to_images
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.models.pose import PoseHeads
from reid_gen.runtime.devices import Runtime
from reid_gen.training.pose_step import PoseBatch, PoseStep
from reid_gen.training.step import TrainableNetwork
from reid_gen.types import Int64Array, Scalars


@dataclass(frozen=True)
class Pretraining:
    """What is learnt from groups, and how.

    Attributes:
        pool: Pictures of all groups, and how batches of them are drawn.
        groups: Group of each picture, numbered from 0, [N].
        heads: Trained beside the encoder.
        augmentation: Random changes of a picture; it must not mirror, because that turns a pose
            into another one.
        weights: Of ``pose``, ``align`` and ``rebuild``.
        temperature: Of ``pose``.
        align_temperature: Of ``align``.
        mask: Share of patches that are hidden where ``rebuild`` has a weight.
    """

    pool: Pool
    groups: Int64Array
    heads: PoseHeads
    augmentation: Augmentation
    weights: Mapping[str, float]
    temperature: float
    align_temperature: float
    mask: float

    def batches(self, iterations: int | None, rng: np.random.Generator) -> Iterator[Int64Array]:
        """Rows of batches of some groups with some members each."""
        return self.pool.by_label(self.groups, iterations, rng)

    def step(
        self,
        encoder: IdentityEncoder,
        trainable: Sequence[TrainableNetwork],
        runtime: Runtime,
        rng: np.random.Generator,
    ) -> Callable[[DecodedBatch, int], Scalars]:
        """What is done with each decoded batch.

        Args:
            encoder: Learns.
            trainable: It and the heads, with their optimisers.
            runtime: Device and precision.
            rng: Source of random changes.
        """
        take = PoseStep(
            encoder=encoder,
            heads=self.heads,
            trainable=trainable,
            weights=self.weights,
            temperature=self.temperature,
            align_temperature=self.align_temperature,
            mask=self.mask,
            runtime=runtime,
        )
        views = 2 if self.weights["align"] > 0 else 1

        def changed(decoded: DecodedBatch, number: int) -> Scalars:
            size, height, width, _ = decoded.complete().pixels.shape
            drawn = [self.augmentation.draw(size, height, width, rng) for _ in range(views)]
            images = [to_images(c.apply(decoded.pixels)).to(runtime.device) for c in drawn]
            rows = torch.from_numpy(decoded.index).to(runtime.device)
            groups = torch.from_numpy(self.groups[decoded.index]).to(runtime.device)
            return take(PoseBatch(images, groups, rows))

        return changed
