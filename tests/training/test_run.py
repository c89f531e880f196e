"""Start and resume runs: files, reproducibility, and failures that must leave nothing behind."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reid_gen.builders import experiment as experiment_builder
from reid_gen.config.dump import dump_config
from reid_gen.errors import UserError
from reid_gen.models.checkpoint import load_encoder
from reid_gen.models.weights import read_weights
from reid_gen.training import run as run_module
from reid_gen.training.metrics_log import read_metrics
from reid_gen.training.run import resume_run, start_run
from tests.data.real_format import make_market
from tests.training.small import experiment, stop_after, train, write_config

pytestmark = pytest.mark.slow

TRAIN_FOLDER = Path("Market-1501-v15.09.15") / "bounding_box_train"


@pytest.fixture
def config(tiny_run, tmp_path):
    """Configuration on the data of ``tiny_run``; its runs go to a folder of the test."""
    return write_config(tmp_path, tiny_run.parents[1] / "data")


@pytest.fixture
def run(tiny_run, tmp_path):
    """Copy of ``tiny_run`` where ``config`` would write it."""
    return shutil.copytree(tiny_run, tmp_path / "runs" / "tiny")


def encoder_weights(run):
    return read_weights(run / "last" / "encoder.safetensors")


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_start_run_writes_checkpoint_metrics_and_settings(tiny_run):
    assert {path.name for path in tiny_run.iterdir()} == {
        *(".lock", ".last.old", "config.yaml", "environment.json"),
        *("metrics.jsonl", "tensorboard", "last"),
    }
    assert {path.name for path in (tiny_run / "last").iterdir()} == {
        "encoder.safetensors",
        "bank.safetensors",
        "card.json",
        "resume.pt",
    }
    card = json.loads((tiny_run / "last" / "card.json").read_text())
    assert card["protocol"]["labels_used"] == "none"
    assert card["epochs"] == 2
    bank = read_weights(tiny_run / "last" / "bank.safetensors")
    assert bank["features"].shape == (48, 512)
    records = read_metrics(tiny_run)
    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert {"mAP", "rank-1"} <= records[0].keys()
    assert {"clusters", "outliers", "largest_cluster", "nmi", "loss_prototype", "seconds"} <= (
        records[1].keys()
    )
    assert {"mAP", "rank-1"} <= records[2].keys()


def test_resume_run_equals_an_uninterrupted_run(tiny_run, config, monkeypatch):
    stop_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    monkeypatch.undo()
    resumed = config.parent / "runs" / "tiny"
    assert json.loads((resumed / "last" / "card.json").read_text())["epochs"] == 1
    resume_run(experiment(config)[0], resumed)

    assert equal(encoder_weights(tiny_run), encoder_weights(resumed))
    timing = ("seconds", "images_per_second", "peak_")
    for expected, record in zip(read_metrics(tiny_run), read_metrics(resumed), strict=True):
        names = [name for name in expected if not name.startswith(timing)]
        assert {name: expected[name] for name in names} == {name: record[name] for name in names}


def test_resume_run_continues_a_run_without_an_epoch(config, monkeypatch):
    built, settings = experiment(config, "stages.0.iterations=1")
    run = settings.runs / settings.name

    def interrupt(position):
        raise KeyboardInterrupt

    monkeypatch.setattr(built.trainer, "epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start_run(built, run, dump_config(settings))
    resume_run(experiment(config, "stages.0.iterations=1")[0], run)
    assert [record["epoch"] for record in read_metrics(run)] == [0, 1, 2]


def test_training_ignores_true_pids(tiny_run, config, monkeypatch):
    load_dataset = experiment_builder.load_dataset

    def load_with_shuffled_pids(name, root):
        dataset = load_dataset(name, root)
        pids = np.random.default_rng(0).permutation(dataset.train_pids)
        return replace(dataset, train_pids=pids)

    monkeypatch.setattr(experiment_builder, "load_dataset", load_with_shuffled_pids)
    run = train(config)
    assert equal(encoder_weights(tiny_run), encoder_weights(run))
    assert read_metrics(tiny_run)[1]["nmi"] != read_metrics(run)[1]["nmi"]


def test_start_run_never_overwrites_a_run(config, run):
    metrics = (run / "metrics.jsonl").read_text()
    with pytest.raises(UserError) as error:
        train(config)
    assert str(error.value) == (
        f"{run} exists; choose another name, resume it with --resume {run}, or remove it"
    )
    assert (run / "metrics.jsonl").read_text() == metrics


def test_start_run_leaves_no_folder_if_clustering_collapses(config):
    with pytest.raises(UserError) as error:
        train(config, "clustering.eps.value=0.001", "clustering.min_samples=20")
    assert str(error.value).startswith(
        "clustering found 0 cluster(s) among 48 images at eps 0.001, and training needs at least 2"
    )
    assert not (config.parent / "runs" / "tiny").exists()


def test_start_run_leaves_no_folder_if_an_image_is_broken(tmp_path):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    broken = sorted((tmp_path / "data" / TRAIN_FOLDER).glob("*.jpg"))[3]
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(UserError) as error:
        train(config)
    assert str(error.value).startswith(
        f"1 image(s) do not decode: {broken.name}; replace or remove"
    )
    assert str(broken) in str(error.value)
    assert not (tmp_path / "runs" / "tiny").exists()


def test_save_keeps_the_old_checkpoint_on_a_full_disk(config, run, monkeypatch):
    weights = encoder_weights(run)
    built, _ = experiment(config)

    def raise_disk_full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", raise_disk_full)
    with pytest.raises(UserError) as error:
        run_module._save(built, run, 1, {}, None, "")
    monkeypatch.undo()
    assert str(error.value) == (
        f"cannot write {run / 'last'}: No space left on device; "
        "free some space or choose another place"
    )
    assert equal(encoder_weights(run), weights)
    hidden = sorted(path.name for path in run.iterdir() if path.name.startswith("."))
    assert hidden == [".last.old", ".lock"]


def test_resume_run_refuses_a_changed_data_set(tiny_run, run, tmp_path):
    data = shutil.copytree(tiny_run.parents[1] / "data", tmp_path / "data")
    config = write_config(tmp_path, data)
    sorted((data / TRAIN_FOLDER).glob("*.jpg"))[0].unlink()
    with pytest.raises(UserError, match=r"training images of data: 47 images .* instead of 48"):
        resume_run(experiment(config)[0], run)


def test_load_encoder_names_a_damaged_checkpoint(run):
    file = run / "last" / "encoder.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="does not match the checksum on its card"):
        load_encoder(run)


def test_build_experiment_refuses_a_start_of_another_size(tiny_run, config):
    with pytest.raises(UserError) as error:
        experiment(config, "name=larger", f"start_from={tiny_run}", "data.height=96")
    assert str(error.value) == (
        f"{tiny_run} holds another encoder than the configured one: height 64 instead of 96; "
        "give data and encoder those values, or start from another run"
    )
