"""The parts of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reid_gen.evaluation.evaluator import Evaluator
from reid_gen.models.encoder import EncoderCard
from reid_gen.training.trainer import Trainer


@dataclass(frozen=True)
class Experiment:
    """A run, ready to start or to resume.

    Attributes:
        trainer: Training loop.
        card: Architecture and input size of the encoder.
        evaluator: Evaluation of query against gallery; None for an unlabelled folder.
        evaluate_every: Epochs between evaluations; None evaluates before and after training only.
        about: Protocol and data of the run, for the checkpoint's card.
        facts: Settings, digests of all inputs, and machine, which a resumed run must share.
    """

    trainer: Trainer
    card: EncoderCard
    evaluator: Evaluator | None
    evaluate_every: int | None
    about: dict[str, Any]
    facts: dict[str, Any]
