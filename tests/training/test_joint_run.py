"""Joint runs: stages, resuming, warm start, and settings or bodies that do not fit."""

import json
import sys

import pytest
import torch

from reid_gen.body.table import save_table
from reid_gen.builders.generator import build_view_renderer
from reid_gen.data.datasets import load_dataset
from reid_gen.errors import UserError
from reid_gen.models.checkpoint import find_checkpoint
from reid_gen.models.weights import read_weights
from reid_gen.training import run as run_module
from reid_gen.training.metrics_log import read_metrics
from reid_gen.training.run import resume_run
from reid_gen.training.stages import EpochPosition
from tests.data.real_format import make_market
from tests.generators.scenes import make_body_table
from tests.training.joint import write_joint_config
from tests.training.small import experiment, stop_after, train

pytestmark = pytest.mark.slow

NETWORKS = ("encoder", "generator", "discriminator")


@pytest.fixture
def config(joint_run, tmp_path):
    """Configuration on the data of ``joint_run``; its runs go to a folder of the test."""
    file = joint_run.parents[1] / "joint.yaml"
    text = file.read_text().replace(f"runs: {joint_run.parent}", f"runs: {tmp_path / 'runs'}")
    (tmp_path / "joint.yaml").write_text(text)
    return tmp_path / "joint.yaml"


def remove_stages(config, *names):
    lines = config.read_text().splitlines()
    config.write_text(
        "\n".join(line for line in lines if not any(f"- {{name: {n}" in line for n in names))
    )


def equal_weights(first, second):
    states = [
        [read_weights(file) for file in sorted((run / "last").glob("*.safetensors"))]
        for run in (first, second)
    ]
    return all(torch.equal(a[key], b[key]) for a, b in zip(*states, strict=True) for key in a)


def test_stages_train_the_networks_that_they_name(joint_run):
    records = read_metrics(joint_run)[1:]
    assert [record["stage"] for record in records] == ["identity", "generator", "joint", "frozen"]
    of_gan = {f"loss_{name}" for name in ("image", "cycle", "feature", "adversarial", "fake")}
    of_views = {"loss_view_prototype", "loss_view_instance"}
    identity, generator, joint, frozen = ({*record} for record in records)
    assert not identity & (of_gan | of_views)
    assert of_gan <= generator
    assert not generator & (of_views | {"clusters", "loss_prototype"})
    assert of_gan | of_views | {"clusters", "loss_prototype"} <= joint
    assert of_views <= frozen
    assert not frozen & of_gan
    assert records[1]["without_views"] == records[2]["without_views"] == 8


def test_joint_run_writes_sheets_and_weights(joint_run):
    sheets = sorted(path.name for path in (joint_run / "views").iterdir())
    assert sheets == ["epoch_0002.png", "epoch_0003.png", "epoch_0004.png"]
    files = {path.name for path in (joint_run / "last").iterdir()}
    assert {f"{name}.safetensors" for name in NETWORKS} <= files


@pytest.mark.parametrize("momentum", ["null", "0.9"])
def test_resumed_joint_run_equals_an_uninterrupted_run(joint_run, config, monkeypatch, momentum):
    setting = f"generator.ema_momentum={momentum}"
    expected_run = joint_run if momentum == "null" else train(config, "name=whole", setting)
    stop_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(config, "name=resumed", setting)
    monkeypatch.undo()
    resumed = config.parent / "runs" / "resumed"
    assert json.loads((resumed / "last" / "card.json").read_text())["epochs"] == 2
    resume_run(experiment(config, "name=resumed", setting)[0], resumed)
    assert (expected_run / "last" / "ema_encoder.safetensors").exists() == (momentum != "null")
    assert equal_weights(expected_run, resumed)


def test_start_from_copies_encoder_and_generator(joint_run, config):
    built, _ = experiment(config, "name=second", f"start_from={joint_run}")
    networks = run_module._networks(built)
    assert set(networks) == set(NETWORKS)
    for name, network in networks.items():
        expected = read_weights(joint_run / "last" / f"{name}.safetensors")
        actual = network.state_dict()
        assert all(torch.equal(expected[key], actual[key]) for key in expected)


def test_source_stage_trains_on_the_labels_of_the_source(config, tmp_path):
    source = make_market(tmp_path / "source", seed=9)
    remove_stages(config, "generator", "joint", "frozen")
    text = config.read_text().replace(
        "stages:\n", f"source: {{name: market1501, root: {source}}}\nstages:\n"
        "  - {name: source, labels: source, epochs: 1, iterations: 3}\n"
    )  # fmt: skip
    config.write_text(text)
    run = train(config, "generator=null", "loss.weights={prototype: 1.0}")
    record = read_metrics(run)[1]
    assert record["stage"] == "source"
    assert "clusters" not in record
    assert record["loss_prototype"] > 0
    card = json.loads((run / "last" / "card.json").read_text())
    assert card["protocol"]["labels_used"] == "of market1501 (source)"


def test_build_generator_names_missing_and_foreign_bodies(config, tmp_path):
    with pytest.raises(UserError, match=r"no body parameters at .*train.npz; create them with"):
        experiment(config, f"generator.bodies={tmp_path / 'missing'}")
    images = load_dataset("market1501", make_market(tmp_path / "other", people=3)).train
    save_table(make_body_table(images), tmp_path / "foreign" / "train.npz")
    with pytest.raises(UserError, match=r"no body parameters for .* the file belongs to other"):
        experiment(config, f"generator.bodies={tmp_path / 'foreign'}")


def test_build_generator_refuses_bodies_that_score_too_low(config):
    expected = r"none of the 48 training images has a body that scores 0\.95 or more"
    with pytest.raises(UserError, match=expected):
        experiment(config, "generator.min_score=0.95")


def test_training_stops_at_a_loss_that_is_nan(config):
    with pytest.raises(UserError, match=r"the loss is .*nan.* lower the learning rates"):
        train(config, "loss.temperature=1e-44")


def test_build_painter_refuses_unsupported_image_sizes(config):
    with pytest.raises(UserError, match=r"does not support 66 x 32 pixels: .* multiples of 4"):
        experiment(config, "data.height=66")
    expected = r"does not support 64 x 32 pixels: .* at least 40; generator"
    with pytest.raises(UserError, match=expected):
        experiment(config, "generator.structure.pyramid=true")


def test_term_of_views_needs_a_generator(config):
    head, tail = config.read_text().split("generator:\n", 1)
    config.write_text(
        head.replace("trains: [generator]", "trains: [identity]") + tail[tail.index("loss:") :]
    )
    with pytest.raises(UserError, match=r"loss.weights.view_prototype needs a generator section"):
        experiment(config)


def test_mixup_term_needs_mixup_alpha(config):
    with pytest.raises(UserError, match=r"loss.weights.mixup needs generator.mixup_alpha"):
        experiment(config, "loss.weights.mixup=0.5")


@pytest.mark.parametrize("rasteriser", ["numba", "torch"])
def test_trainer_renders_with_the_configured_rasteriser(config, torch_calls, rasteriser):
    trainer = experiment(config, f"body.rasteriser={rasteriser}")[0].trainer
    stage = trainer.stages[1]
    trainer.epoch(EpochPosition(stage, 0, 1))
    assert bool(torch_calls) == (rasteriser == "torch")
    torch_calls.clear()
    assert trainer.preview(stage) is not None
    assert bool(torch_calls) == (rasteriser == "torch")


def test_build_experiment_names_a_missing_rasteriser(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    monkeypatch.setitem(sys.modules, "pytorch3d.renderer.mesh.rasterize_meshes", None)
    with pytest.raises(UserError, match="the rasteriser pytorch3d cannot be loaded"):
        experiment(config, "body.rasteriser=pytorch3d")


@pytest.mark.parametrize("axis", ["body", "picture"])
def test_bodies_rotate_about_the_configured_axis(joint_run, config, axis):
    built, settings = experiment(config, f"generator.axis={axis}")
    assert built.trainer.generator.map_renderer.maps.axis == axis
    assert build_view_renderer(settings, find_checkpoint(joint_run)).axis == axis


def test_frozen_stage_refuses_a_start_without_generator(config, tiny_run):
    remove_stages(config, "identity", "generator", "joint")
    with pytest.raises(UserError, match="holds none of kind mesh_gan; start from a run that does"):
        experiment(config, f"start_from={tiny_run}")


def test_training_stops_at_an_epoch_without_views(tmp_path):
    config = write_joint_config(tmp_path, usable=1 / 48)
    remove_stages(config, "generator")
    with pytest.raises(UserError, match=r"no image got a view in epoch 2: .* fewer than 2 images"):
        train(config)
