"""What the trainer sets up for each epoch, without training."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reid_gen.training import run as run_module
from reid_gen.training.stages import EpochPosition, Schedule
from reid_gen.training.step import DISCRIMINATOR, GENERATOR, IDENTITY
from tests.training.joint import write_joint_config
from tests.training.small import experiment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    """Joint run with an EMA encoder; stage 1 trains the generator, 2 both, 3 uses its views."""
    config = write_joint_config(tmp_path_factory.mktemp("joint"))
    return experiment(config, "generator.ema_momentum=0.9")[0].trainer


@pytest.fixture
def generator_stage(trainer):
    return trainer.stages[1]


@pytest.fixture
def joint_stage(trainer):
    return trainer.stages[2]


@pytest.fixture
def two_epochs(joint_stage):
    return EpochPosition(joint_stage, 0, 2), EpochPosition(joint_stage, 1, 3)


def at_rank(trainer, rank):
    return replace(trainer, runtime=SimpleNamespace(rank=rank, encoder=lambda encoder: None))


def test_trainer_samples_equal_rows_on_all_ranks(trainer, two_epochs):
    samples = [
        process._sampling_rng(position).random()
        for process in (trainer, at_rank(trainer, 1))
        for position in two_epochs
    ]
    assert samples[:2] == samples[2:]
    assert samples[0] != samples[1]


def test_trainer_augments_differently_by_rank_and_epoch(trainer, two_epochs):
    samples = [
        at_rank(trainer, rank)._augmentation_rng(position).random()
        for rank in (0, 1)
        for position in two_epochs
    ]
    assert len({*samples, trainer._sampling_rng(two_epochs[0]).random()}) == 5


def test_trainer_rotates_bodies_by_rank_epoch_and_batch(trainer, two_epochs):
    seeds = []

    def make_conditions(images, pixels, rng):
        seeds.append(rng.random())

    for rank in (0, 1):
        process = replace(
            at_rank(trainer, rank), generator=SimpleNamespace(make_conditions=make_conditions)
        )
        for position in two_epochs:
            for number in (0, 1):
                process._make_conditions(position)((), (), number)
    assert len(set(seeds)) == 8


def test_trainer_trains_the_generator_on_images_with_bodies(trainer, generator_stage):
    stage = replace(generator_stage, iterations=None)
    rows = np.concatenate(list(trainer._generator_batches(EpochPosition(stage, 0, 1))))
    usable = np.flatnonzero(trainer.generator.usable(trainer.loader.images))
    assert sorted(rows) == usable.tolist()
    assert len(usable) < len(trainer.loader.images)


def test_trainer_sets_the_learning_rates_of_the_stage(trainer, joint_stage):
    stage = replace(
        joint_stage,
        schedule=Schedule(0.5, warmup_epochs=1),
        generator_learning_rate=0.3,
        weight_decay=0.25,
    )
    networks = trainer._set_trainable(EpochPosition(stage, 0, 2))
    groups = {name: entry.optimizer.param_groups[0] for name, entry in networks.items()}
    assert {name: group["lr"] for name, group in groups.items()} == {
        IDENTITY: 0.25,
        GENERATOR: 0.3,
        DISCRIMINATOR: 0.3,
    }
    assert groups[IDENTITY]["weight_decay"] == 0.25
    assert groups[GENERATOR]["weight_decay"] == groups[DISCRIMINATOR]["weight_decay"] != 0.25
    assert trainer.encoder.training


def test_trainer_freezes_networks_the_stage_does_not_train(trainer, generator_stage):
    networks = trainer._set_trainable(EpochPosition(generator_stage, 0, 1))
    assert set(networks) == {GENERATOR, DISCRIMINATOR}
    assert not trainer.encoder.training
    assert not any(p.requires_grad for p in trainer.encoder.parameters())
    trainer._set_trainable(EpochPosition(trainer.stages[3], 0, 3))
    assert not any(p.requires_grad for p in trainer.generator.networks.parameters())
    assert all(p.requires_grad for p in trainer.identity["adam"].parameters())


def test_trainer_records_the_mean_of_every_term(trainer):
    rows = [np.arange(2), np.arange(3), np.arange(2), np.arange(2)]
    terms = iter([{"a": 1.0}, {"a": 2.0, "b": 5.0}, {}, {"a": 6.0}])
    terms = ({name: torch.tensor(value) for name, value in step.items()} for step in terms)
    position = EpochPosition(trainer.stages[0], 0, 0)
    record = trainer._run_steps(position, trainer.loader, iter(rows), lambda *_: next(terms))
    assert (record["loss_a"], record["loss_b"]) == (3.0, 5.0)
    assert record["images_per_second"] == pytest.approx(9 / record["seconds_train"])


@pytest.mark.parametrize(("epoch", "resets"), [(0, 1), (1, 0)])
def test_trainer_resets_the_ema_before_a_generator_stage(
    trainer, generator_stage, monkeypatch, epoch, resets
):
    encoders = []
    monkeypatch.setattr(trainer.ema_encoder, "reset", encoders.append)
    monkeypatch.setattr(trainer, "_run_steps", lambda *_: {})
    trainer.epoch(EpochPosition(generator_stage, epoch, 1 + epoch))
    assert len(encoders) == resets


def test_trainer_keeps_the_ema_in_a_joint_stage(trainer, two_epochs, monkeypatch):
    encoders = []
    monkeypatch.setattr(trainer.ema_encoder, "reset", encoders.append)
    monkeypatch.setattr(trainer, "_run_steps", lambda *_: {})
    trainer.epoch(two_epochs[0])
    assert not encoders


class MemoryLog:
    """A metrics log that keeps its records in memory."""

    text = ""

    def __init__(self):
        self.records = []

    def write(self, epoch, record):
        self.records.append((epoch, dict(record)))


@pytest.mark.parametrize(("interval", "evaluated"), [(None, [5]), (2, [2, 4, 5])])
def test_run_evaluates_every_n_epochs_and_the_last(trainer, monkeypatch, interval, evaluated):
    plain = SimpleNamespace(mean_ap=0.5, cmc={1: 0.7})
    reranked = SimpleNamespace(mean_ap=0.6, cmc={1: 0.8})
    log = MemoryLog()
    stub = SimpleNamespace(
        runtime=SimpleNamespace(
            processes=1, together=nullcontext, on_main=lambda function: function()
        ),
        stages=(replace(trainer.stages[0], epochs=5),),
        profile=None,
        encode=None,
        epoch=lambda _: SimpleNamespace(record={}),
        preview=lambda _: None,
        progress=SimpleNamespace(log=lambda _: None),
    )
    run = SimpleNamespace(
        trainer=stub, evaluate_every=interval, evaluator=lambda _: (plain, reranked), facts={}
    )
    monkeypatch.setattr(run_module, "_save", lambda *_: None)
    run_module._train(run, run_module.Path("run"), 0, log)
    scores = {"mAP": 0.5, "rank-1": 0.7, "mAP_reranked": 0.6, "rank-1_reranked": 0.8}
    assert [epoch for epoch, record in log.records if "mAP" in record] == evaluated
    last = {name: value for name, value in log.records[-1][1].items() if name in scores}
    assert last == scores
    assert [epoch for epoch, _ in log.records] == [1, 2, 3, 4, 5]
