import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import project
from reid_gen.body.estimate.foreign_checkpoints import CheckpointRecovery
from reid_gen.body.estimate.hmr2 import Hmr2Network
from reid_gen.body.estimate.spin import SpinNetwork
from reid_gen.body.model import BodyModel
from reid_gen.errors import UserError
from tests.body.shapes import random_body

THETA = Rotation.random(24, random_state=3).as_matrix()
CAMERA = [0.9, 0.05, 0.1]
LAYOUTS = ("spin", "hmr2")


@pytest.fixture(scope="module")
def body():
    return BodyModel(random_body())


def published(layout):
    """A small state dict with random weights, named as the layout's checkpoints name theirs."""
    torch.manual_seed(0)
    if layout == "spin":
        return SpinNetwork().state_dict()
    state = Hmr2Network(160, 2, 64, 3, 32).state_dict()
    for part in ("weight", "bias"):
        state[f"backbone.last_norm.{part}"] = state.pop(f"backbone.norm.{part}")
    position = state["backbone.pos_embed"]
    state["backbone.pos_embed"] = torch.cat([torch.ones(1, 1, 160), position], 1)
    return state


def stating(layout):
    """Of a network that states the body it starts from, whatever it sees."""
    state = published(layout)
    head, names = {
        "spin": ("", ("pose", "shape", "cam")),
        "hmr2": ("smpl_head.", ("body_pose", "betas", "cam")),
    }[layout]
    for name in ("decpose", "decshape", "deccam"):
        state[f"{head}{name}.weight"].zero_()
        state[f"{head}{name}.bias"].zero_()
    # SPIN's order: rows of the 3 x 2 matrix one after the other; 4D-Humans': columns.
    columns = THETA[:, :, :2] if layout == "spin" else THETA[:, :, :2].transpose(0, 2, 1)
    state[f"{head}init_{names[0]}"] = torch.tensor(columns.reshape(1, 144)).float()
    state[f"{head}init_{names[1]}"] = torch.full((1, 10), 0.5)
    state[f"{head}init_{names[2]}"] = torch.tensor([CAMERA])
    return state


def saved(content, tmp_path):
    path = tmp_path / "model_checkpoint.pt"
    torch.save(content, path)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("wrapper", ["model", "state_dict"])
def test_a_checkpoint_of_its_layout_states_bodies_in_our_convention(
    layout, wrapper, body, tmp_path
):
    recovery = CheckpointRecovery(saved({wrapper: stating(layout), "epoch": 3}, tmp_path), body)
    pixels = np.zeros((2, recovery.height, recovery.width, 3), np.uint8)
    table = recovery(("a.jpg", "b.jpg"), pixels)
    matrices = torch.tensor(THETA).float()[None]
    joints = body.joints(matrices, torch.full((1, 10), 0.5))[0].numpy()
    scale, *shift = CAMERA
    half = recovery.height / 2
    wanted = half + half * scale * (joints[:, :2] + shift) - [half / 2, 0]
    rotation = torch.tensor(Rotation.from_rotvec(table.pose[0]).as_matrix())[None].float()
    own = body.joints(rotation, torch.from_numpy(table.shape[:1])).numpy()
    size = recovery.height, recovery.width
    found = project(own - own[:, :1], table.camera[:1], *size)[0, :, :2]
    np.testing.assert_allclose(found, wanted, atol=0.05)
    np.testing.assert_allclose(table.pose[0, 1:], table.pose[1, 1:], atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_it_sees_changes_what_it_states(layout, body, tmp_path):
    recovery = CheckpointRecovery(saved(published(layout), tmp_path), body)
    rng = np.random.default_rng(0)
    shape = (2, recovery.height, recovery.width, 3)
    table = recovery(("a", "b"), rng.integers(0, 255, shape, dtype=np.uint8))
    assert np.abs(table.camera[0] - table.camera[1]).max() > 0


def test_names_are_those_of_the_published_checkpoints():
    names = set(SpinNetwork().state_dict())
    assert {"conv1.weight", "layer4.2.conv3.weight", "layer1.0.downsample.0.weight"} <= names
    assert {"fc1.weight", "fc2.bias", "decpose.weight", "deccam.bias", "init_cam"} <= names
    assert not any(name.startswith("fc.") for name in names)
    names = set(Hmr2Network(80, 1, 64, 1, 32).state_dict())
    layer = "smpl_head.transformer.transformer.layers.0"
    assert {
        "backbone.patch_embed.proj.weight",
        "backbone.blocks.0.attn.qkv.weight",
        "backbone.blocks.0.mlp.fc2.bias",
        f"{layer}.0.fn.to_qkv.weight",
        f"{layer}.1.fn.to_kv.weight",
        f"{layer}.1.fn.to_out.0.bias",
        f"{layer}.2.fn.net.3.weight",
        f"{layer}.2.norm.bias",
        "smpl_head.decpose.weight",
        "smpl_head.init_betas",
    } <= names


def test_a_class_tokens_position_moves_every_other_as_in_the_published_network(body, tmp_path):
    state = published("hmr2")
    own = Hmr2Network(160, 2, 64, 3, 32).state_dict()["backbone.pos_embed"]
    recovery = CheckpointRecovery(saved(state, tmp_path), body)
    loaded = recovery.network.backbone.pos_embed
    assert loaded.shape == own.shape
    torch.testing.assert_close(loaded.detach(), state["backbone.pos_embed"][:, 1:] + 1)
    assert recovery.network.backbone.patch_embed(torch.zeros(1, 3, 256, 192)).shape[1] == 16 * 12


def test_another_network_is_named(body, tmp_path):
    with pytest.raises(UserError, match=r"no network of a known layout; give a checkpoint"):
        CheckpointRecovery(saved({"conv1.weight": torch.zeros(1)}, tmp_path), body)
    state = published("spin")
    part = {name: value for name, value in state.items() if not name.startswith("dec")}
    with pytest.raises(UserError, match=r"6 missing: decpose.weight, .*; give a checkpoint"):
        CheckpointRecovery(saved(part, tmp_path), body)
    wrong = state | {"init_cam": torch.zeros(1, 4)}
    with pytest.raises(UserError, match=r"1 wrong shape: init_cam \(1, 4\) instead of \(1, 3\)"):
        CheckpointRecovery(saved(wrong, tmp_path), body)
    state = published("hmr2")
    headless = {name: value for name, value in state.items() if "layers" not in name}
    with pytest.raises(UserError, match=r"lacks smpl_head.transformer.transformer.layers.0"):
        CheckpointRecovery(saved(headless, tmp_path), body)


class Settings:
    """Stands for what training programs store beside the tensors."""


def test_a_checkpoint_that_would_run_code_is_refused_with_the_way_out(body, tmp_path):
    content = {"state_dict": published("hmr2"), "hyper_parameters": Settings()}
    with pytest.raises(UserError, match=r"save the weights alone where it was made"):
        CheckpointRecovery(saved(content, tmp_path), body)


def test_a_damaged_or_missing_checkpoint_is_named(body, tmp_path):
    path = tmp_path / "x.pt"
    with pytest.raises(UserError, match="does not exist; check"):
        CheckpointRecovery(path, body)
    path.write_bytes(b"hello")
    with pytest.raises(UserError, match="is no readable weight file"):
        CheckpointRecovery(path, body)
