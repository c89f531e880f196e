"""Stages of a run: what is trained, on which images, with which losses and schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reid_gen.choices import OptimizerName
from reid_gen.cluster.pseudo_labels import PseudoLabels
from reid_gen.data.batch_sampler import BatchSampler
from reid_gen.data.transforms import Augmentation
from reid_gen.memory.bank import MemoryBank
from reid_gen.training.contrastive_terms import ContrastTerms
from reid_gen.types import Float32Array, Int64Array


@dataclass(frozen=True)
class Schedule:
    """Learning rate of the identity encoder: linear warm-up, then step decay.

    Attributes:
        learning_rate: Base learning rate, reached after the warm-up.
        warmup_epochs: Epochs of linear warm-up; 0 has none.
        decay_every: Epochs between decays by a factor of 0.1; None never decays.
    """

    learning_rate: float
    warmup_epochs: int = 0
    decay_every: int | None = None

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch inside the stage, counted from 0."""
        warmup = min(1.0, (epoch + 1) / (self.warmup_epochs + 1))
        decays = epoch // self.decay_every if self.decay_every else 0
        return float(self.learning_rate * warmup * 0.1**decays)


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage of a run.

    Attributes:
        name: Name in the metrics log.
        epochs: Number of epochs.
        iterations: Optimiser steps per epoch; None makes one pass over the images that can be
            sampled.
        trains: Networks that are trained: ``identity``, ``generator`` (with its discriminator),
            both, or ``pose``.
        views: Whether generated views enter the contrastive loss although the generator is frozen.
        schedule: Learning rate of the identity encoder.
        weight_decay: Weight decay of the identity encoder.
        generator_learning_rate: Learning rate of generator and discriminator.
        optimizer: Optimiser of the identity encoder.
        sampler: Batch sampler of the training images.
        labels: True labels of a source data set, [N]; None clusters the images instead.
        augmentation: Random augmentation of an image.
        cluster: Maps features [N, D] to pseudo labels.
        contrast: Builds the contrastive terms on a memory bank.
        weights: Weight of every loss term.
        camids: Camera of each image, [N], if a term contrasts camera proxies.
    """

    name: str
    epochs: int
    iterations: int | None
    trains: tuple[str, ...]
    views: bool
    schedule: Schedule
    weight_decay: float
    generator_learning_rate: float
    optimizer: OptimizerName
    sampler: BatchSampler
    labels: Int64Array | None
    augmentation: Augmentation
    cluster: Callable[[Float32Array], PseudoLabels]
    contrast: Callable[[MemoryBank], ContrastTerms]
    weights: Mapping[str, float]
    camids: Int64Array | None = None


@dataclass(frozen=True)
class EpochPosition:
    """Position of an epoch in the run.

    Attributes:
        stage: Stage of the epoch.
        epoch: Epoch inside the stage, from 0.
        total: Epoch inside the run, from 0.
    """

    stage: Stage
    epoch: int
    total: int

    @property
    def number(self) -> int:
        """Epoch inside the run as shown to users, from 1."""
        return self.total + 1


def epochs_of(stages: Sequence[Stage], start: int = 0) -> Iterator[EpochPosition]:
    """Yield the epochs of a run, from epoch ``start`` (counted from 0) on."""
    positions = ((stage, epoch) for stage in stages for epoch in range(stage.epochs))
    for total, (stage, epoch) in enumerate(positions):
        if total >= start:
            yield EpochPosition(stage, epoch, total)
