"""Faults in the middle of a run: what it says, what it keeps, and how it goes on."""

import resource
import shutil

import pytest
import torch

from reid_gen.cli.main import main
from reid_gen.files import previous_path
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.models.weight_files import ENCODER_FILE
from reid_gen.models.weights import read_weights
from reid_gen.training import run as run_module
from reid_gen.training import trainer as trainer_module
from reid_gen.training.resume import load_resume
from reid_gen.training.run_folder import CONFIG
from reid_gen.training.step import TrainingStep
from tests.cli.conftest import failure
from tests.training.small import experiment
from tests.training.test_run import TRAIN_FOLDER

pytestmark = pytest.mark.slow

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.fixture
def run(tiny_run, tmp_path):
    """Copy of ``tiny_run`` after its first epoch, on a copy of its data."""
    run = shutil.copytree(tiny_run, tmp_path / "runs" / "tiny")
    shutil.rmtree(run / "last")
    previous_path(run / "last").rename(run / "last")
    data = tiny_run.parents[1] / "data"
    text = (run / CONFIG).read_text()
    (run / CONFIG).write_text(
        text.replace(str(data), str(shutil.copytree(data, tmp_path / "data")))
    )
    return run


def kept(run):
    """End of the message of an error in the second epoch."""
    return (
        "\nepoch 1 is kept; once this is put right, resume on the same images with: "
        f"reid-gen train --resume {run}"
    )


def raise_error(error):
    def raise_it(*arguments, **options):
        raise error

    return raise_it


def remove_at_extraction(monkeypatch, image, place):
    """Remove an image before or after the next extraction of features."""
    extract = trainer_module.extract_features

    def extract_features(*arguments, **options):
        if place == "before":
            image.unlink()
        extracted = extract(*arguments, **options)
        if place == "after":
            image.unlink()
        return extracted

    monkeypatch.setattr(trainer_module, "extract_features", extract_features)


@pytest.mark.parametrize("place", ["before", "after"])
def test_train_stops_at_an_image_that_disappears(run, tiny_run, capsys, monkeypatch, place):
    image = sorted((run.parents[1] / "data" / TRAIN_FOLDER).glob("*.jpg"))[5]
    content = image.read_bytes()
    remove_at_extraction(monkeypatch, image, place)
    message = failure(capsys, "train", "--resume", run)
    assert f"\n  {image}: No such file or directory\n" in message
    assert message.count(str(image)) == 1
    assert message.endswith(kept(run))

    monkeypatch.undo()
    message = failure(capsys, "train", "--resume", run)
    assert "training images of data: 47 images" in message
    assert "instead of 48 images" in message
    if place == "after":
        image.write_bytes(content)
        main(["train", "--resume", str(run)])
        expected, actual = (read_weights(r / "last" / ENCODER_FILE) for r in (tiny_run, run))
        assert all(torch.equal(expected[name], value) for name, value in actual.items())


def test_train_keeps_its_checkpoint_if_the_disk_is_full(run, capsys):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))  # smaller than a checkpoint
    try:
        message = failure(capsys, "train", "--resume", run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"error: cannot write {run / 'last'}: File too large; free some space" in message
    assert message.endswith(kept(run))
    assert load_resume(run / "last")["epoch"] == 1
    assert not list(run.glob(".last.partial-*"))


def test_train_names_settings_if_a_step_runs_out_of_memory(run, capsys, monkeypatch):
    monkeypatch.setattr(TrainingStep, "__call__", raise_error(OUT_OF_MEMORY))
    message = failure(capsys, "train", "--resume", run)
    assert (
        "error: out of memory in a step of epoch 2 (stage identity): CUDA out of memory. Tried to "
        "allocate 2.00 GiB; lower sampler.batch (16), data.height (64), data.width (32), or set "
        "encoder.precision: bf16 in a new run\n"
    ) in message
    assert message.endswith(kept(run))


def test_train_names_settings_if_extraction_runs_out_of_memory(run, capsys, monkeypatch):
    monkeypatch.setattr(IdentityEncoder, "forward", raise_error(MemoryError()))
    message = failure(capsys, "train", "--resume", run)
    assert (
        "error: out of memory in feature extraction: the system has none left; lower the number of "
        "images per forward pass: evaluation.batch,"
    ) in message
    assert message.endswith(kept(run))


def test_new_folder_keeps_a_run_between_two_renames(tiny_run, tmp_path):
    run = tmp_path / "run"
    built, _ = experiment(tiny_run / CONFIG)

    def stop_between_renames():
        with run_module._new_folder(built, run, ""):
            shutil.copytree(tiny_run / "last", previous_path(run / "last"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_between_renames()
    assert previous_path(run / "last").exists()
