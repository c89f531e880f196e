"""Which settings lower the memory of a training step, by what the stage trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reid_gen.training.pose_step import POSE
from reid_gen.training.stages import Stage
from reid_gen.training.step import GENERATOR, IDENTITY

CHECKPOINTING = "generator.gradient_checkpointing"


def memory_advice(stage: Stage, number: int, facts: Mapping[str, Any]) -> str:
    """Advice for a step that runs out of memory: the settings to change, with their values.

    Args:
        stage: Stage of the step.
        number: Number of the stage in the run, from 0.
        facts: Settings of the run by dotted name, see ``Experiment.facts``.
    """
    trains_generator, own_sampler = GENERATOR in stage.trains, f"stages.{number}.sampler.batch"
    lower = []
    if trains_generator or stage.views:
        lower += ["generator.train_batch"] if trains_generator else []
        lower += ["generator.batch", "generator.members"]
    if IDENTITY in stage.trains:
        lower.append(own_sampler if own_sampler in facts else "sampler.batch")
    if POSE in stage.trains:
        lower.append("pose.batch")
    lower += ["data.height", "data.width"]
    values = [f"{name} ({_text(facts[name])})" for name in lower if name in facts]
    precision = [
        f"set {name}: bf16"
        for name in ("encoder.precision", "generator.precision")
        if facts.get(name) == "fp32"
    ]
    changes = [f"lower {', '.join(values)}", *precision]
    new_run = f"{', or '.join(changes)} in a new run"
    if trains_generator and facts.get(CHECKPOINTING) is False:
        return f"set {CHECKPOINTING}: true, also in config.yaml before it is resumed; or {new_run}"
    return new_run


def _text(value: object) -> str:
    return "null" if value is None else str(value)
