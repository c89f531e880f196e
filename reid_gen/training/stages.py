"""Stages as data, and the place of an epoch among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One part of the training.

    Attributes:
        name: For the journal.
        epochs: How many.
        iterations: Optimiser steps per epoch; None passes once over the images that may be drawn.
        trains: ``identity``, ``generator`` (with its discriminator) or both.
        views: Whether generated views are contrasted too, by a generator that need not learn.
        learning_rate: Of the identity encoder, after the warm-up, before any decay.
        weight_decay: Of its optimiser.
        warmup_epochs: Epochs over which the learning rate rises linearly to its value.
        decay_every: Epochs after which it is multiplied by 0.1; None never does.
        generator_learning_rate: Of generator and discriminator.
    """

    name: str
    epochs: int
    iterations: int | None
    trains: tuple[str, ...]
    views: bool
    learning_rate: float
    weight_decay: float
    warmup_epochs: int
    decay_every: int | None
    generator_learning_rate: float

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch inside this stage, counted from 0."""
        rise = min(1.0, (epoch + 1) / (self.warmup_epochs + 1))
        decays = epoch // self.decay_every if self.decay_every else 0
        return float(self.learning_rate * rise * 0.1**decays)


@dataclass(frozen=True)
class EpochPosition:
    """An epoch in the run.

    Attributes:
        stage: Position of the stage, from 0.
        epoch: Epoch inside the stage, from 0.
        total: Epoch inside the run, from 0.
    """

    stage: int
    epoch: int
    total: int

    @property
    def number(self) -> int:
        """The same epoch of the run as people count it, from 1."""
        return self.total + 1


def places(stages: Sequence[Stage], start: int = 0) -> Iterator[EpochPosition]:
    """All epochs of a run from number ``start`` on."""
    total = 0
    for position, stage in enumerate(stages):
        for epoch in range(stage.epochs):
            if total >= start:
                yield EpochPosition(position, epoch, total)
            total += 1
