"""Learning-rate schedules, and the order of the epochs of a run."""

import pytest

from reid_gen.training.stages import EpochPosition, Schedule, Stage, epochs_of


def make_stage(epochs):
    fields = dict.fromkeys(Stage.__dataclass_fields__)
    return Stage(**{**fields, "epochs": epochs})


def test_schedule_decays_after_the_configured_epochs():
    rates = [Schedule(0.8, decay_every=2).rate(epoch) for epoch in range(5)]
    assert rates == pytest.approx([0.8, 0.8, 0.08, 0.08, 0.008])


def test_schedule_warms_up_linearly_to_the_learning_rate():
    rates = [Schedule(0.8, warmup_epochs=3).rate(epoch) for epoch in range(5)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])


def test_epochs_of_counts_inside_the_stage_and_the_run():
    first, second = stages = [make_stage(2), make_stage(3)]
    assert list(epochs_of(stages)) == [
        EpochPosition(first, 0, 0),
        EpochPosition(first, 1, 1),
        EpochPosition(second, 0, 2),
        EpochPosition(second, 1, 3),
        EpochPosition(second, 2, 4),
    ]


def test_epochs_of_starts_at_the_requested_epoch():
    second = make_stage(3)
    resumed = list(epochs_of([make_stage(2), second], start=3))
    assert resumed == [EpochPosition(second, 1, 3), EpochPosition(second, 2, 4)]
    assert [position.number for position in resumed] == [4, 5]
