"""What a training run consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reid_gen.evaluation.evaluator import Evaluator
from reid_gen.models.encoder import EncoderCard
from reid_gen.training.trainer import Trainer


@dataclass(frozen=True)
class Experiment:
    """All that a run needs.

    Attributes:
        trainer: The training loop.
        card: What the encoder's weights belong to.
        evaluator: Query against gallery; None for an unlabelled folder.
        evaluate_every: Epochs between evaluations; None measures only before and after.
        about: Facts of the run for its card.
        facts: All that tells the run from another: settings, content of what is read, machine.
    """

    trainer: Trainer
    card: EncoderCard
    evaluator: Evaluator | None
    evaluate_every: int | None
    about: dict[str, Any]
    facts: dict[str, Any]
