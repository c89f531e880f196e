"""Pose pre-training: groups of images that share a pose, and the steps on their batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reid_gen.data.batch_sampler import BatchSampler
from reid_gen.data.loaders import DecodedBatch
from reid_gen.data.transforms import Augmentation, to_images
from reid_gen.generators.protocol import Terms
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.models.pose import PoseHeads
from reid_gen.runtime.devices import Runtime
from reid_gen.runtime.transfer import to_device
from reid_gen.training.batch import StepFn
from reid_gen.training.pose_step import PoseBatch, PoseStep
from reid_gen.training.step import TrainableNetwork
from reid_gen.types import Int64Array


@dataclass(frozen=True)
class Pretraining:
    """Data, heads and losses of pose pre-training.

    Attributes:
        sampler: Batch sampler of the images of all groups.
        groups: Group of each image, numbered from 0, [N].
        heads: Pose head and patch decoder, trained with the encoder.
        augmentation: Random augmentation; it must not mirror, which would change the pose.
        weights: Weights of ``pose``, ``align`` and ``rebuild``.
        temperature: Temperature of ``pose``.
        align_temperature: Temperature of ``align``.
        mask: Share of patches that are masked if ``rebuild`` has a weight.
    """

    sampler: BatchSampler
    groups: Int64Array
    heads: PoseHeads
    augmentation: Augmentation
    weights: Mapping[str, float]
    temperature: float
    align_temperature: float
    mask: float

    def batches(self, iterations: int | None, rng: np.random.Generator) -> Iterator[Int64Array]:
        """Yield the rows of batches with several images of each of several groups."""
        return self.sampler.clustered_batches(self.groups, iterations, rng)

    def step(
        self,
        encoder: IdentityEncoder,
        trainable: Sequence[TrainableNetwork],
        runtime: Runtime,
        rng: np.random.Generator,
    ) -> StepFn:
        """Build the training step on decoded batches.

        Args:
            encoder: Identity encoder, trained.
            trainable: Encoder and heads with their optimisers.
            runtime: Device and precision.
            rng: Random generator of the augmentation.
        """
        step = PoseStep(
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

        def step_on(decoded: DecodedBatch, number: int, rows: Int64Array) -> Terms:
            pixels = to_device(decoded.complete().pixels, runtime.device)
            changes = [self.augmentation.sample(pixels, rng) for _ in range(views)]
            images = [to_images(change.apply(pixels)) for change in changes]
            groups = to_device(self.groups[decoded.index], runtime.device)
            return step(PoseBatch(images, groups, to_device(decoded.index, runtime.device)))

        return step_on
