import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import project
from reid_gen.body.estimate.foreign_checkpoints import CheckpointEstimator
from reid_gen.body.estimate.hmr2 import Hmr2Network
from reid_gen.body.estimate.spin import SpinNetwork
from reid_gen.body.model import BodyModel
from reid_gen.errors import UserError
from tests.body.shapes import random_body

pytestmark = pytest.mark.slow

THETA = Rotation.random(24, random_state=3).as_matrix()
CAMERA = [0.9, 0.05, 0.1]
NETWORKS = ("spin", "hmr2")


@pytest.fixture(scope="module")
def body():
    return BodyModel(random_body())


def published_state(network):
    """Build a small random state dict with the names of a published checkpoint."""
    torch.manual_seed(0)
    if network == "spin":
        return SpinNetwork().state_dict()
    state = Hmr2Network(160, 2, 64, 3, 32).state_dict()
    for part in ("weight", "bias"):
        state[f"backbone.last_norm.{part}"] = state.pop(f"backbone.norm.{part}")
    pos_embed = state["backbone.pos_embed"]
    state["backbone.pos_embed"] = torch.cat([torch.ones(1, 1, 160), pos_embed], 1)
    return state


def constant_state(network):
    """Build a state dict that predicts its mean body for any image."""
    state = published_state(network)
    head, names = {
        "spin": ("", ("pose", "shape", "cam")),
        "hmr2": ("smpl_head.", ("body_pose", "betas", "cam")),
    }[network]
    for name in ("decpose", "decshape", "deccam"):
        state[f"{head}{name}.weight"].zero_()
        state[f"{head}{name}.bias"].zero_()
    # SPIN stores 3 x 2 matrices row by row, 4D-Humans column by column.
    columns = THETA[:, :, :2] if network == "spin" else THETA[:, :, :2].transpose(0, 2, 1)
    state[f"{head}init_{names[0]}"] = torch.tensor(columns.reshape(1, 144)).float()
    state[f"{head}init_{names[1]}"] = torch.full((1, 10), 0.5)
    state[f"{head}init_{names[2]}"] = torch.tensor([CAMERA])
    return state


def save(content, tmp_path):
    path = tmp_path / "model_checkpoint.pt"
    torch.save(content, path)
    return path


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("wrapper", ["model", "state_dict"])
def test_checkpoint_estimator_converts_to_our_convention(network, wrapper, body, tmp_path):
    content = {wrapper: constant_state(network), "epoch": 3}
    estimator = CheckpointEstimator(save(content, tmp_path), body)
    pixels = np.zeros((2, estimator.height, estimator.width, 3), np.uint8)
    table = estimator(("a.jpg", "b.jpg"), pixels)
    matrices = torch.tensor(THETA).float()[None]
    joints = body.forward_joints(matrices, torch.full((1, 10), 0.5))[0].numpy()
    scale, *shift = CAMERA
    half = estimator.height / 2
    expected = half + half * scale * (joints[:, :2] + shift) - [half / 2, 0]
    rotation = torch.tensor(Rotation.from_rotvec(table.pose[0]).as_matrix())[None].float()
    actual_joints = body.forward_joints(rotation, torch.from_numpy(table.shape[:1])).numpy()
    size = estimator.height, estimator.width
    centred = actual_joints - actual_joints[:, :1]
    actual = project(centred, table.camera[:1], *size)[0, :, :2]
    np.testing.assert_allclose(actual, expected, atol=0.05)
    np.testing.assert_allclose(table.pose[0, 1:], table.pose[1, 1:], atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
def test_checkpoint_estimator_depends_on_the_image(network, body, tmp_path):
    estimator = CheckpointEstimator(save(published_state(network), tmp_path), body)
    rng = np.random.default_rng(0)
    shape = (2, estimator.height, estimator.width, 3)
    table = estimator(("a", "b"), rng.integers(0, 255, shape, dtype=np.uint8))
    assert np.abs(table.camera[0] - table.camera[1]).max() > 0


def test_networks_have_the_published_parameter_names():
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


def test_hmr2_adds_the_class_position_to_all_patches(body, tmp_path):
    state = published_state("hmr2")
    expected_shape = Hmr2Network(160, 2, 64, 3, 32).backbone.pos_embed.shape
    estimator = CheckpointEstimator(save(state, tmp_path), body)
    loaded = estimator.network.backbone.pos_embed
    assert loaded.shape == expected_shape
    torch.testing.assert_close(loaded.detach(), state["backbone.pos_embed"][:, 1:] + 1)
    assert estimator.network.backbone.patch_embed(torch.zeros(1, 3, 256, 192)).shape[1] == 16 * 12


def test_checkpoint_estimator_names_what_does_not_fit(body, tmp_path):
    with pytest.raises(UserError, match=r"holds no known network; give a checkpoint"):
        CheckpointEstimator(save({"conv1.weight": torch.zeros(1)}, tmp_path), body)
    state = published_state("spin")
    without_heads = {name: value for name, value in state.items() if not name.startswith("dec")}
    with pytest.raises(UserError, match=r"6 missing: decpose.weight, .*; give a checkpoint"):
        CheckpointEstimator(save(without_heads, tmp_path), body)
    wrong = state | {"init_cam": torch.zeros(1, 4)}
    with pytest.raises(UserError, match=r"1 wrong shape: init_cam \(1, 4\) instead of \(1, 3\)"):
        CheckpointEstimator(save(wrong, tmp_path), body)
    state = published_state("hmr2")
    without_decoder = {name: value for name, value in state.items() if "layers" not in name}
    with pytest.raises(UserError, match=r"lacks smpl_head.transformer.transformer.layers.0"):
        CheckpointEstimator(save(without_decoder, tmp_path), body)


class Settings:
    """Stands for an object that training programs store beside the tensors."""


def test_checkpoint_estimator_rejects_checkpoints_with_code(body, tmp_path):
    content = {"state_dict": published_state("hmr2"), "hyper_parameters": Settings()}
    with pytest.raises(UserError, match=r"save only the weights with the program that wrote it"):
        CheckpointEstimator(save(content, tmp_path), body)


def test_checkpoint_estimator_names_a_missing_or_damaged_file(body, tmp_path):
    path = tmp_path / "x.pt"
    with pytest.raises(UserError, match="does not exist; check"):
        CheckpointEstimator(path, body)
    path.write_bytes(b"hello")
    with pytest.raises(UserError, match="is not a readable weight file"):
        CheckpointEstimator(path, body)
