import pytest

from reid_gen.training.stages import EpochPosition, Stage, places


def stage(epochs=5, warmup=0, decay=None):
    return Stage("s", epochs, None, ("identity",), False, 0.8, 0.0, warmup, decay, 0.1)


def test_stage_rate_decays_after_as_many_epochs_as_set():
    rates = [stage(decay=2).rate(epoch) for epoch in range(5)]
    assert rates == pytest.approx([0.8, 0.8, 0.08, 0.08, 0.008])


def test_stage_rate_rises_over_the_warm_up_to_its_value():
    rates = [stage(warmup=3).rate(epoch) for epoch in range(5)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])


def test_places_count_in_the_stage_and_in_the_run():
    both = [stage(2), stage(3)]
    assert [(p.stage, p.epoch, p.total) for p in places(both)] == [
        (0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3), (1, 2, 4),
    ]  # fmt: skip
    assert list(places(both, start=3)) == [EpochPosition(1, 1, 3), EpochPosition(1, 2, 4)]
