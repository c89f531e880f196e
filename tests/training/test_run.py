import json

import numpy as np
import pytest
import torch

from reid_gen.config.dump import dump_config
from reid_gen.errors import UserError
from reid_gen.models.checkpoint import load_encoder
from reid_gen.models.weights import read_weights
from reid_gen.training import run as run_module
from reid_gen.training.metrics_log import read_metrics
from reid_gen.training.run import resume_run, start_run
from reid_gen.types import Dataset
from tests.data.real_format import make_market
from tests.training.small import experiment, stop_after, train, write_config


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path, make_market(tmp_path / "data"))


def weights(run):
    return read_weights(run / "last" / "encoder.safetensors")


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_leaves_what_a_reader_needs(config):
    run = train(config)
    files = {path.name for path in run.iterdir()}
    kept = {".lock", ".last.old", "config.yaml", "environment.json"}
    assert files == {*kept, "metrics.jsonl", "tensorboard", "last"}
    assert {path.name for path in (run / "last").iterdir()} == {
        "encoder.safetensors",
        "bank.safetensors",
        "card.json",
        "resume.pt",
    }
    card = json.loads((run / "last" / "card.json").read_text())
    assert card["protocol"]["labels_used"] == "none"
    assert card["epochs"] == 2
    bank = read_weights(run / "last" / "bank.safetensors")
    assert bank["features"].shape == (48, 512)
    records = read_metrics(run)
    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert {"mAP", "rank-1"} <= records[0].keys()
    assert {"clusters", "outliers", "largest_cluster", "nmi", "loss_prototype", "seconds"} <= (
        records[1].keys()
    )
    assert {"mAP", "rank-1"} <= records[2].keys()


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(config, monkeypatch):
    whole = train(config, "name=whole")

    stop_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(config, "name=cut")
    monkeypatch.undo()
    cut = whole.with_name("cut")
    assert json.loads((cut / "last" / "card.json").read_text())["epochs"] == 1
    resume_run(experiment(config, "name=cut")[0], cut)

    assert equal(weights(whole), weights(cut))
    timing = ("seconds", "images_per_second", "peak_")
    for one, other in zip(read_metrics(whole), read_metrics(cut), strict=True):
        kept = [key for key in one if not key.startswith(timing)]
        assert {key: one[key] for key in kept} == {key: other[key] for key in kept}


def test_a_run_cut_off_inside_its_first_epoch_can_be_resumed(config, monkeypatch):
    made, settings = experiment(config)
    run = settings.runs / settings.name

    def interrupt(place):
        raise KeyboardInterrupt

    monkeypatch.setattr(made.trainer, "epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start_run(made, run, dump_config(settings))
    resume_run(experiment(config)[0], run)
    assert [record["epoch"] for record in read_metrics(run)] == [0, 1, 2]


def test_shuffling_the_true_pids_of_the_training_split_changes_nothing(config, monkeypatch):
    from reid_gen.builders import experiment as build

    plain = train(config, "name=plain")
    load = build.load_dataset

    def shuffled(name, root):
        found = load(name, root)
        pids = np.random.default_rng(0).permutation(found.train_pids)
        return Dataset(
            found.name, found.root, found.train, pids, found.query, found.gallery, found.notes
        )

    monkeypatch.setattr(build, "load_dataset", shuffled)
    other = train(config, "name=other")
    assert equal(weights(plain), weights(other))
    assert read_metrics(plain)[1]["nmi"] != read_metrics(other)[1]["nmi"]


def test_an_existing_run_is_never_overwritten(config):
    run = train(config)
    before = (run / "metrics.jsonl").read_text()
    with pytest.raises(UserError) as error:
        train(config)
    assert str(error.value) == (
        f"{run} exists; choose another name, resume it with --resume {run}, or remove it"
    )
    assert (run / "metrics.jsonl").read_text() == before


def test_a_clustering_that_collapses_stops_with_a_way_out_and_leaves_nothing(config):
    with pytest.raises(UserError) as error:
        train(config, "clustering.eps.value=0.001", "clustering.min_samples=20")
    assert str(error.value).startswith(
        "clustering found 0 cluster(s) among 48 images at eps 0.001, and training needs at least 2"
    )
    assert not (config.parent / "runs" / "tiny").exists()


def test_an_unreadable_training_image_is_listed_and_leaves_nothing(config):
    folder = config.parent / "data" / "Market-1501-v15.09.15" / "bounding_box_train"
    broken = sorted(folder.glob("*.jpg"))[3]
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(UserError) as error:
        train(config)
    assert str(error.value).startswith(
        f"1 image(s) do not decode: {broken.name}; replace or remove"
    )
    assert str(broken) in str(error.value)
    assert not (config.parent / "runs" / "tiny").exists()


def test_a_full_disk_keeps_the_checkpoint_that_was_there(config, monkeypatch):
    from pathlib import Path

    run = train(config)
    before = weights(run)
    made, _ = experiment(config)

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError) as error:
        run_module._save(made, run, 1, {}, None, "")
    monkeypatch.undo()
    assert str(error.value) == (
        f"cannot write {run / 'last'}: No space left on device; "
        "free some space or choose another place"
    )
    assert equal(weights(run), before)
    hidden = sorted(path.name for path in run.iterdir() if path.name.startswith("."))
    assert hidden == [".last.old", ".lock"]


def test_a_changed_data_set_is_not_resumed(config):
    run = train(config)
    folder = config.parent / "data" / "Market-1501-v15.09.15" / "bounding_box_train"
    sorted(folder.glob("*.jpg"))[0].unlink()
    with pytest.raises(UserError, match=r"training images of data: 47 images .* instead of 48"):
        resume_run(experiment(config)[0], run)


def test_a_damaged_checkpoint_is_named(config):
    run = train(config)
    file = run / "last" / "encoder.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="does not match the checksum on its card"):
        load_encoder(run)


def test_build_experiment_says_how_to_start_from_a_run_of_another_size(config):
    run = train(config, "stages.0.epochs=1", "stages.0.iterations=1")
    with pytest.raises(UserError) as error:
        experiment(config, "name=larger", f"start_from={run}", "data.height=96")
    assert str(error.value) == (
        f"{run} was made for another encoder than the configuration's: height 64 instead of 96; "
        "give data and encoder those values, or start from another run"
    )
