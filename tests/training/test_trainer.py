"""What the loop decides for each epoch, looked at without training."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from reid_gen.training import run as run_module
from reid_gen.training.stages import EpochPosition
from reid_gen.training.step import DISCRIMINATOR, GENERATOR, IDENTITY
from tests.training.joint import write_joint_config
from tests.training.small import experiment

FIRST, SECOND = EpochPosition(2, 0, 2), EpochPosition(2, 1, 3)
GENERATOR_STAGE = 1


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    """Of a joint run with a mean encoder; stage 1 trains the generator, stage 2 both."""
    config = write_joint_config(tmp_path_factory.mktemp("joint"))
    return experiment(config, "generator.ema_momentum=0.9")[0].trainer


def at_rank(trainer, rank):
    return replace(trainer, runtime=SimpleNamespace(rank=rank, encoder=lambda encoder: None))


def test_trainer_draws_the_same_rows_on_all_ranks_and_others_next_epoch(trainer):
    drawn = [
        some._rng(place).random()
        for some in (trainer, at_rank(trainer, 1))
        for place in (FIRST, SECOND)
    ]
    assert drawn[:2] == drawn[2:]
    assert drawn[0] != drawn[1]


def test_trainer_changes_images_otherwise_on_every_rank_and_epoch(trainer):
    drawn = [
        at_rank(trainer, rank)._changes(place).random()
        for rank in (0, 1)
        for place in (FIRST, SECOND)
    ]
    assert len({*drawn, trainer._rng(FIRST).random()}) == 5


def test_trainer_turns_bodies_otherwise_on_every_rank_epoch_and_batch(trainer):
    seeds = []

    def make_conditions(images, pixels, rng):
        seeds.append(rng.random())

    for rank in (0, 1):
        ranked = replace(
            at_rank(trainer, rank), generator=SimpleNamespace(make_conditions=make_conditions)
        )
        for place in (FIRST, SECOND):
            for number in (0, 1):
                ranked._make_conditions(place, trainer.stages[place.stage])((), (), number)
    assert len(set(seeds)) == 8


def test_trainer_draws_a_lone_generator_only_images_with_bodies(trainer):
    stage = replace(trainer.stages[GENERATOR_STAGE], iterations=None)
    rows = np.concatenate(list(trainer._plainly(stage, EpochPosition(1, 0, 1))))
    usable = np.flatnonzero(trainer.generator.usable(trainer.loader.images))
    assert sorted(rows) == usable.tolist()
    assert len(usable) < len(trainer.loader.images)


def test_trainer_gives_each_learner_the_rates_of_the_stage(trainer):
    joint = replace(
        trainer.stages[2], learning_rate=0.5, generator_learning_rate=0.3, weight_decay=0.25,
        warmup_epochs=1,
    )  # fmt: skip
    some = replace(trainer, stages=(*trainer.stages[:2], joint, *trainer.stages[3:]))
    trainable = some._learners(FIRST)
    assert set(trainable) == {IDENTITY, GENERATOR, DISCRIMINATOR}
    rates = {name: learner.optimizer.param_groups[0]["lr"] for name, learner in trainable.items()}
    assert rates == {IDENTITY: 0.25, GENERATOR: 0.3, DISCRIMINATOR: 0.3}
    assert trainable[IDENTITY].optimizer.param_groups[0]["weight_decay"] == 0.25
    decay = {trainable[name].optimizer.param_groups[0]["weight_decay"] for name in trainable}
    assert len(decay) == 2  # the generator keeps its own
    assert trainer.encoder.training


def test_trainer_freezes_who_does_not_learn(trainer):
    trainable = trainer._learners(EpochPosition(GENERATOR_STAGE, 0, 1))
    assert set(trainable) == {GENERATOR, DISCRIMINATOR}
    assert not trainer.encoder.training
    assert not any(p.requires_grad for p in trainer.encoder.parameters())
    trainer._learners(EpochPosition(3, 0, 3))
    assert not any(p.requires_grad for p in trainer.generator.networks.parameters())
    assert all(p.requires_grad for p in trainer.identity["adam"].parameters())


def test_trainer_records_the_mean_of_every_term(trainer):
    rows = [np.arange(2), np.arange(3), np.arange(2)]
    terms = iter([{"a": 1.0}, {"a": 2.0, "b": 5.0}, {"a": 6.0}])
    record = trainer._descend(
        EpochPosition(0, 0, 0), trainer.loader, iter(rows), lambda *_: next(terms)
    )
    assert (record["loss_a"], record["loss_b"]) == (3.0, 5.0)
    assert record["images_per_second"] == pytest.approx(7 / record["seconds_train"])


@pytest.mark.parametrize(
    ("place", "restarts"), [(EpochPosition(1, 0, 1), 1), (EpochPosition(1, 1, 2), 0)]
)
def test_trainer_begins_the_mean_again_before_a_generator_stage(
    trainer, monkeypatch, place, restarts
):
    seen = []
    monkeypatch.setattr(trainer.mean, "reset", seen.append)
    monkeypatch.setattr(trainer, "_descend", lambda *_: {})
    trainer.epoch(place)
    assert len(seen) == restarts


def test_trainer_keeps_the_mean_in_a_stage_that_trains_the_encoder(trainer, monkeypatch):
    monkeypatch.setattr(trainer.mean, "reset", lambda _: pytest.fail("began again"))
    monkeypatch.setattr(trainer, "_descend", lambda *_: {})
    trainer.epoch(FIRST)


class Board:
    """A journal that remembers."""

    text = ""

    def __init__(self):
        self.records = []

    def write(self, epoch, record):
        self.records.append((epoch, dict(record)))


@pytest.mark.parametrize(("every", "measured"), [(None, [5]), (2, [2, 4, 5])])
def test_run_measures_every_so_many_epochs_and_the_last(trainer, monkeypatch, every, measured):
    result = SimpleNamespace(mean_ap=0.5, cmc={1: 0.7})
    better = SimpleNamespace(mean_ap=0.6, cmc={1: 0.8})
    board = Board()
    runner = SimpleNamespace(
        runtime=SimpleNamespace(is_main=True, broadcast=lambda value: value),
        stages=(replace(trainer.stages[0], epochs=5),),
        encode=None,
        epoch=lambda _: SimpleNamespace(record={}),
        show=lambda _: None,
        progress=SimpleNamespace(say=lambda _: None),
    )
    made = SimpleNamespace(
        trainer=runner, evaluate_every=every, evaluator=lambda _: (result, better)
    )
    monkeypatch.setattr(run_module, "_save", lambda *_: None)
    run_module._train(made, run_module.Path("run"), 0, board)
    scores = {"mAP": 0.5, "rank-1": 0.7, "mAP_reranked": 0.6, "rank-1_reranked": 0.8}
    assert [epoch for epoch, record in board.records if "mAP" in record] == measured
    last = {name: value for name, value in board.records[-1][1].items() if name in scores}
    assert last == scores
    assert [epoch for epoch, _ in board.records] == [1, 2, 3, 4, 5]
