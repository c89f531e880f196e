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


def test_it_trains_as_a_stage_like_any_other(run):
    first, second = read_metrics(run)[1:]
    assert first["loss_noise"] > 0
    assert second["loss_noise"] < first["loss_noise"]
    assert np.asarray(Image.open(run / "views" / "epoch_0002.png")).shape == (8 * 64, 9 * 32, 3)


def test_a_resumed_run_equals_an_uninterrupted_one_the_average_included(config, run, monkeypatch):
    stop_after(1, monkeypatch)
    with pytest.raises(SystemExit):
        main(["train", "--config", str(config), "--set", "name=cut"])
    monkeypatch.undo()
    main(["train", "--resume", str(run.with_name("cut"))])
    whole, cut = (
        read_weights(run.with_name(name) / "last" / "generator.safetensors")
        for name in ("tiny", "cut")
    )
    assert any(name.startswith("average.") for name in whole)
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_its_views_are_drawn_measured_and_kept_as_the_gans_are(run, gan_run, tmp_path):
    crop = next((gan_run.parents[1] / "people" / "query").glob("*.jpg"))
    main(["views", str(run), str(crop), "--out", str(tmp_path / "a.png"), "--degrees", "90"])
    assert np.asarray(Image.open(tmp_path / "a.png")).shape == (64, 64, 3)
    words = ["--queries", "3", "--degrees", "180", "--json", str(tmp_path / "a.json")]
    main(["evaluate-views", str(run), *words])
    scores = json.loads((tmp_path / "a.json").read_text())["scores"]
    assert scores["generated"]["ssim"] < scores["true"]["ssim"]
    for name in ("one", "two"):
        main(["generate", str(run), "--out", str(tmp_path / name), "--members", "2"])
    one, two = (sorted((tmp_path / name).rglob("*.jpg")) for name in ("one", "two"))
    assert len(one) == 18
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
    out = tmp_path / "anchored"
    main(["generate", str(run), "--out", str(out), "--members", "2", "--maker", "anchored"])
    assert len(list(out.rglob("*.jpg"))) == 18
    assert load_groups(out).header["share"] == "0.1"


def test_generate_takes_more_steps_of_a_diffusion_model(run, tmp_path, monkeypatch, capsys):
    steps = []

    def counted(predict, schedule, looks, guidance, count):
        steps.append(count)
        return sample(predict, schedule, looks, guidance, count)

    monkeypatch.setattr(pixel, "sample", counted)
    words = ["generate", str(run), "--out", str(tmp_path / "out"), "--members", "2"]
    main([*words, "--maker", "anchored", "--steps", "7"])
    assert set(steps) == {7}
    assert load_groups(tmp_path / "out").header["steps"] == 7
    assert "steps 7 and not 8" in failure(capsys, *words, "--steps", "8", "--check")


def test_it_may_learn_with_the_encoder_whose_views_are_then_contrasted(config):
    both = config.with_name("both.yaml")
    text = config.read_text().replace("trains: [generator]", "trains: [identity, generator]")
    root = config.read_text().split("root: ")[1].split(",")[0]
    both.write_text(
        text.replace("epochs: 2\n    iterations: 15", "epochs: 1\n    iterations: 2").replace(
            "    trains", "    labels: source\n    trains"
        )
        + f"source: {{name: pedestrians, root: {root}}}\n"
        "sampler: {batch: 8, instances: 2}\n"
        "loss: {weights: {prototype: 1.0, view_prototype: 1.0}}\n"
    )
    main(["train", "--config", str(both), "--set", "name=both"])
    record = read_metrics(config.parent / "runs" / "both")[1]
    assert record["loss_noise"] > 0
    assert record["loss_view_prototype"] > 0


def test_it_halves_what_it_can(config, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--config", str(config), "--set", "name=x", "--set", "data.height=68"])
    message = capsys.readouterr().err
    assert "does not support 68 x 32 pixels" in message
    assert "multiples of 8 (generator.patch_size, doubled per level of generator.widths)" in message


def test_it_starts_from_a_gans_run_whose_generator_stays_behind(config, gan_run):
    settings = ("name=after_gan", f"start_from={gan_run}", "stages.0.iterations=1")
    main(["train", "--config", str(config), *(w for text in settings for w in ("--set", text))])
    own, other = (
        read_weights(folder / "last" / "encoder.safetensors")
        for folder in (config.parent / "runs" / "after_gan", gan_run)
    )
    assert all(torch.equal(value, other[name]) for name, value in own.items())
