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
from tests.data.real_format import make_market
from tests.generators.scenes import make_body_table
from tests.training.joint import write_joint_config
from tests.training.small import experiment, stop_after, train, write_config

FILES = ("encoder", "generator", "discriminator")


@pytest.fixture
def config(tmp_path):
    return write_joint_config(tmp_path)


def same_weights(one, other):
    states = [
        [read_weights(file) for file in sorted((run / "last").glob("*.safetensors"))]
        for run in (one, other)
    ]
    return all(torch.equal(a[key], b[key]) for a, b in zip(*states, strict=True) for key in a)


def test_stages_train_whom_they_name_and_leave_sheets_and_weights(config):
    run = train(config)
    records = read_metrics(run)[1:]
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
    sheets = sorted(path.name for path in (run / "views").iterdir())
    assert sheets == ["epoch_0002.png", "epoch_0003.png", "epoch_0004.png"]
    assert records[1]["without_views"] == records[2]["without_views"] == 8
    files = {path.name for path in (run / "last").iterdir()}
    assert {f"{name}.safetensors" for name in FILES} <= files


@pytest.mark.parametrize("momentum", ["null", "0.9"])
def test_a_resumed_joint_run_equals_an_uninterrupted_one_bit_for_bit(config, monkeypatch, momentum):
    setting = f"generator.ema_momentum={momentum}"
    whole = train(config, "name=whole", setting)
    stop_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(config, "name=cut", setting)
    monkeypatch.undo()
    cut = whole.with_name("cut")
    assert json.loads((cut / "last" / "card.json").read_text())["epochs"] == 2
    resume_run(experiment(config, "name=cut", setting)[0], cut)
    assert (whole / "last" / "mean_encoder.safetensors").exists() == (momentum != "null")
    assert same_weights(whole, cut)


def test_a_run_starts_from_another_ones_encoder_and_generator(config):
    first = train(config, "name=first")
    made, _ = experiment(config, "name=second", f"start_from={first}")
    networks = run_module._networks(made)
    assert set(networks) == set(FILES)
    for name, network in networks.items():
        saved = read_weights(first / "last" / f"{name}.safetensors")
        own = network.state_dict()
        assert all(torch.equal(saved[key], own[key]) for key in saved)


def test_a_stage_learns_from_the_labels_of_a_source_data_set(config, tmp_path):
    source = make_market(tmp_path / "source", seed=9)
    text = config.read_text().replace(
        "stages:\n", f"source: {{name: market1501, root: {source}}}\nstages:\n"
        "  - {name: source, labels: source, epochs: 1, iterations: 3}\n"
    )  # fmt: skip
    config.write_text(text)
    run = train(config)
    first = read_metrics(run)[1]
    assert first["stage"] == "source"
    assert "clusters" not in first
    assert first["loss_prototype"] > 0
    card = json.loads((run / "last" / "card.json").read_text())
    assert card["protocol"]["labels_used"] == "of market1501 (source)"


def test_missing_bodies_and_bodies_of_other_images_are_named(config, tmp_path):
    with pytest.raises(UserError, match=r"no body parameters at .*train.npz; create them with"):
        experiment(config, f"generator.bodies={tmp_path / 'nowhere'}")
    other = load_dataset("market1501", make_market(tmp_path / "other", people=3)).train
    save_table(make_body_table(other), tmp_path / "others" / "train.npz")
    with pytest.raises(UserError, match=r"no body parameters for .* the file belongs to other"):
        experiment(config, f"generator.bodies={tmp_path / 'others'}")


def test_a_generator_without_a_single_body_to_trust_is_refused(config):
    with pytest.raises(UserError, match="none of the 48 training images has a body to trust"):
        experiment(config, "generator.min_score=0.95")


def test_a_loss_that_is_no_number_stops_with_a_way_out(config):
    with pytest.raises(UserError, match=r"the loss is .*nan.* lower the learning rates"):
        train(config, "loss.temperature=1e-44")


def test_images_that_the_networks_cannot_take_are_refused(config):
    with pytest.raises(UserError, match=r"cannot draw 66 x 32 pixels: .* multiples of 4"):
        experiment(config, "data.height=66")
    with pytest.raises(UserError, match=r"cannot draw 64 x 32 pixels: .* at least 40; generator"):
        experiment(config, "generator.structure.pyramid=true")


def test_a_term_of_views_needs_a_generator(config):
    text = config.read_text()
    head, tail = text.split("generator:\n", 1)
    config.write_text(
        head.replace("trains: [generator]", "trains: [identity]") + tail[tail.index("loss:") :]
    )
    with pytest.raises(UserError, match=r"loss.weights.view_prototype needs a generator section"):
        experiment(config)


def test_mixing_needs_to_be_switched_on_for_its_term(config):
    with pytest.raises(UserError, match=r"loss.weights.mixup needs generator.mixup_alpha"):
        experiment(config, "loss.weights.mixup=0.5")


def test_training_draws_bodies_by_the_rasteriser_of_the_settings(config, torch_calls):
    train(config, "name=numba")
    assert not torch_calls
    train(config, "name=torch", "body.rasteriser=torch")
    assert torch_calls


def test_build_names_a_rasteriser_that_is_missing(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    monkeypatch.setitem(sys.modules, "pytorch3d.renderer.mesh.rasterize_meshes", None)
    with pytest.raises(UserError, match="the rasteriser pytorch3d cannot be loaded"):
        experiment(config, "body.rasteriser=pytorch3d")


@pytest.mark.parametrize("axis", ["body", "picture"])
def test_build_turns_bodies_about_the_axis_of_the_settings(config, axis):
    made, settings = experiment(config, f"generator.axis={axis}")
    assert made.trainer.generator.maps.maps.axis == axis
    run = train(config, f"generator.axis={axis}", "name=run")
    assert build_view_renderer(settings, find_checkpoint(run)).axis == axis


def test_frozen_views_of_a_run_without_a_generator_are_refused(config, tmp_path):
    lines = config.read_text().splitlines()
    frozen = [line for line in lines if "name: generator" not in line and "name: joint" not in line]
    config.write_text("\n".join(line for line in frozen if "name: identity" not in line))
    start = train(write_config(tmp_path, tmp_path / "data"), "name=start", "stages.0.epochs=1")
    with pytest.raises(UserError, match="holds none of kind mesh_gan; start from a run that does"):
        experiment(config, f"start_from={start}")


def test_epoch_without_a_single_view_stops_with_a_way_out(tmp_path):
    config = write_joint_config(tmp_path, usable=1 / 48)
    lines = config.read_text().splitlines()
    config.write_text("\n".join(line for line in lines if "name: generator" not in line))
    with pytest.raises(UserError, match=r"no image got a view in epoch 2: .* fewer than 2 images"):
        train(config)
