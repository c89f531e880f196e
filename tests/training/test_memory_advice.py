"""Advice for a step that runs out of memory, by what its stage trains."""

from types import SimpleNamespace

import pytest

from reid_gen.training.memory_advice import CHECKPOINTING, memory_advice
from reid_gen.training.resume import MAY_CHANGE

FACTS = {
    "sampler.batch": 256,
    "stages.1.sampler.batch": 128,
    "data.height": 256,
    "data.width": 128,
    "encoder.precision": "bf16",
}
GAN = {"generator.batch": 64, "generator.train_batch": None, CHECKPOINTING: False}
SIZE = "data.height (256), data.width (128)"


def advice(*trains, number=0, views=False, **facts):
    stage = SimpleNamespace(trains=trains, views=views)
    return memory_advice(stage, number, FACTS | facts)


def test_memory_advice_names_the_batch_of_the_stage():
    assert advice("identity") == f"lower sampler.batch (256), {SIZE} in a new run"
    assert advice("identity", number=1) == (
        f"lower stages.1.sampler.batch (128), {SIZE} in a new run"
    )
    assert advice("pose", **{"pose.batch": 64}) == f"lower pose.batch (64), {SIZE} in a new run"


def test_memory_advice_of_a_generator_begins_with_checkpointing():
    assert advice("identity", "generator", **GAN) == (
        "set generator.gradient_checkpointing: true, also in config.yaml before it is resumed; or "
        "lower generator.train_batch (null), generator.batch (64), sampler.batch (256), "
        f"{SIZE} in a new run"
    )
    assert CHECKPOINTING in MAY_CHANGE
    assert advice("generator", **GAN | {CHECKPOINTING: True}) == (
        f"lower generator.train_batch (null), generator.batch (64), {SIZE} in a new run"
    )


def test_memory_advice_of_frozen_views_names_their_number():
    stored = {"generator.batch": 16, "generator.members": 2}
    assert advice("identity", views=True, **stored) == (
        f"lower generator.batch (16), generator.members (2), sampler.batch (256), {SIZE} in a new "
        "run"
    )


@pytest.mark.parametrize("name", ["encoder.precision", "generator.precision"])
def test_memory_advice_names_precision_only_if_it_is_fp32(name):
    assert advice("identity", **{name: "fp32"}).endswith(f", or set {name}: bf16 in a new run")
