import json

import numpy as np
import pytest
import torch
from PIL import Image

from reid_gen.cli.main import main
from reid_gen.data.positive_groups import load_groups
from reid_gen.generators.pixel_diffusion import generator as pixel
from reid_gen.generators.pixel_diffusion.sampler import sample
from reid_gen.models.weights import read_weights
from reid_gen.training.metrics_log import read_metrics
from tests.cli.conftest import GAN_CONFIG, failure
from tests.training.small import stop_after

pytestmark = pytest.mark.slow

GENERATOR = """\
generator:
  kind: pixel_diffusion
  bodies: {root}/bodies
  batch: 4
  widths: [16, 32]
  cross_attention_dim: 16
  heads: 2
  steps: 3
stages:
  - name: generator
    trains: [generator]
    epochs: 2
    iterations: 15
    generator_learning_rate: 1.0e-3
"""


@pytest.fixture(scope="module")
def config(gan_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusion")
    root = gan_run.parents[1] / "people"
    head = GAN_CONFIG.format(runs=folder / "runs", root=root).split("generator:")[0]
    file = folder / "diffusion.yaml"
    file.write_text(head + GENERATOR.format(root=root))
    return file


@pytest.fixture(scope="module")
def run(config):
    main(["train", "--config", str(config)])
    return config.parent / "runs" / "tiny"


def test_train_reduces_the_diffusion_loss(run):
    first, second = read_metrics(run)[1:]
    assert first["loss_noise"] > 0
    assert second["loss_noise"] < first["loss_noise"]
    assert np.asarray(Image.open(run / "views" / "epoch_0002.png")).shape == (8 * 64, 9 * 32, 3)


def test_resumed_run_equals_an_uninterrupted_one_with_ema(config, run, monkeypatch):
    stop_after(1, monkeypatch)
    with pytest.raises(SystemExit):
        main(["train", "--config", str(config), "--set", "name=cut"])
    monkeypatch.undo()
    main(["train", "--resume", str(run.with_name("cut"))])
    uninterrupted, resumed = (
        read_weights(run.with_name(name) / "last" / "generator.safetensors")
        for name in ("tiny", "cut")
    )
    assert any(name.startswith("average.") for name in uninterrupted)
    assert all(torch.equal(value, resumed[name]) for name, value in uninterrupted.items())


def test_views_of_a_diffusion_run_are_rendered_scored_and_stored(run, gan_run, tmp_path):
    crop = next((gan_run.parents[1] / "people" / "query").glob("*.jpg"))
    main(["views", str(run), str(crop), "--out", str(tmp_path / "a.png"), "--degrees", "90"])
    assert np.asarray(Image.open(tmp_path / "a.png")).shape == (64, 64, 3)
    words = ["--queries", "3", "--degrees", "180", "--json", str(tmp_path / "a.json")]
    main(["evaluate-views", str(run), *words])
    scores = json.loads((tmp_path / "a.json").read_text())["scores"]
    assert scores["generated"]["ssim"] < scores["true"]["ssim"]
    for name in ("first", "second"):
        main(["generate", str(run), "--out", str(tmp_path / name), "--members", "2"])
    first, second = (sorted((tmp_path / name).rglob("*.jpg")) for name in ("first", "second"))
    assert len(first) == 18
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    out = tmp_path / "anchored"
    main(["generate", str(run), "--out", str(out), "--members", "2", "--maker", "anchored"])
    assert len(list(out.rglob("*.jpg"))) == 18
    assert load_groups(out).header["share"] == "0.1"


def test_generate_steps_sets_sampling_steps(run, tmp_path, monkeypatch, capsys):
    steps = []

    def counting_sample(predict, schedule, looks, guidance, count):
        steps.append(count)
        return sample(predict, schedule, looks, guidance, count)

    monkeypatch.setattr(pixel, "sample", counting_sample)
    words = ["generate", str(run), "--out", str(tmp_path / "out"), "--members", "2"]
    main([*words, "--maker", "anchored", "--steps", "7"])
    assert set(steps) == {7}
    assert load_groups(tmp_path / "out").header["steps"] == 7
    assert "steps 7 instead of 8" in failure(capsys, *words, "--steps", "8", "--check")


def test_train_trains_diffusion_and_encoder_jointly(config):
    joint = config.with_name("joint.yaml")
    text = config.read_text().replace("trains: [generator]", "trains: [identity, generator]")
    root = config.read_text().split("root: ")[1].split(",")[0]
    joint.write_text(
        text.replace("epochs: 2\n    iterations: 15", "epochs: 1\n    iterations: 2").replace(
            "    trains", "    labels: source\n    trains"
        )
        + f"source: {{name: pedestrians, root: {root}}}\n"
        "sampler: {batch: 8, instances: 2}\n"
        "loss: {weights: {prototype: 1.0, view_prototype: 1.0}}\n"
    )
    main(["train", "--config", str(joint), "--set", "name=joint"])
    record = read_metrics(config.parent / "runs" / "joint")[1]
    assert record["loss_noise"] > 0
    assert record["loss_view_prototype"] > 0


def test_train_refuses_sizes_that_the_unet_cannot_downsample(config, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--config", str(config), "--set", "name=x", "--set", "data.height=68"])
    message = capsys.readouterr().err
    assert "does not support 68 x 32 pixels" in message
    assert "multiples of 8 (generator.patch_size, doubled per level of generator.widths)" in message


def test_train_starts_from_the_encoder_of_a_gan_run(config, gan_run):
    settings = ("name=after_gan", f"start_from={gan_run}", "stages.0.iterations=1")
    main(["train", "--config", str(config), *(w for text in settings for w in ("--set", text))])
    encoder, gan_encoder = (
        read_weights(folder / "last" / "encoder.safetensors")
        for folder in (config.parent / "runs" / "after_gan", gan_run)
    )
    assert all(torch.equal(value, gan_encoder[name]) for name, value in encoder.items())
