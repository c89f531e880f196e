import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import project
from reid_gen.body.model import BodyModel
from reid_gen.body.spin import SpinNetwork, SpinRecovery
from reid_gen.errors import UserError
from tests.body.shapes import random_body

THETA = Rotation.random(24, random_state=3).as_matrix()
CAMERA = [0.9, 0.05, 0.1]


@pytest.fixture(scope="module")
def body():
    return BodyModel(random_body())


@pytest.fixture(scope="module")
def state():
    """Of a network that states the body it starts from, whatever it sees."""
    torch.manual_seed(0)
    state = SpinNetwork().state_dict()
    for name in ("decpose", "decshape", "deccam"):
        state[f"{name}.weight"].zero_()
        state[f"{name}.bias"].zero_()
    # SPIN's order: rows of the 3 x 2 matrix one after the other.
    state["init_pose"] = torch.tensor(THETA[:, :, :2].reshape(1, 144)).float()
    state["init_shape"] = torch.full((1, 10), 0.5)
    state["init_cam"] = torch.tensor([CAMERA])
    return state


def saved(content, tmp_path):
    path = tmp_path / "model_checkpoint.pt"
    torch.save(content, path)
    return path


def test_a_checkpoint_of_its_layout_states_bodies_in_our_convention(state, body, tmp_path):
    recovery = SpinRecovery(saved({"model": state, "epoch": 3}, tmp_path), body)
    pixels = np.zeros((2, recovery.height, recovery.width, 3), np.uint8)
    table = recovery(("a.jpg", "b.jpg"), pixels)
    matrices = torch.tensor(THETA).float()[None]
    joints = body.joints(matrices, torch.full((1, 10), 0.5))[0].numpy()
    scale, *shift = CAMERA
    wanted = 112 + 112 * scale * (joints[:, :2] + shift) - [56, 0]
    rotation = torch.tensor(Rotation.from_rotvec(table.pose[0]).as_matrix())[None].float()
    own = body.joints(rotation, torch.from_numpy(table.shape[:1])).numpy()
    found = project(own - own[:, :1], table.camera[:1], 224, 112)[0, :, :2]
    np.testing.assert_allclose(found, wanted, atol=0.05)
    np.testing.assert_allclose(table.pose[0, 1:], table.pose[1, 1:], atol=1e-6)


def test_what_it_sees_changes_what_it_states(body, tmp_path):
    torch.manual_seed(0)
    recovery = SpinRecovery(saved(SpinNetwork().state_dict(), tmp_path), body)
    rng = np.random.default_rng(0)
    table = recovery(("a", "b"), rng.integers(0, 255, (2, 224, 112, 3), dtype=np.uint8))
    assert np.abs(table.camera[0] - table.camera[1]).max() > 0


def test_names_are_those_of_the_published_checkpoints():
    names = set(SpinNetwork().state_dict())
    assert {"conv1.weight", "layer4.2.conv3.weight", "layer1.0.downsample.0.weight"} <= names
    assert {"fc1.weight", "fc2.bias", "decpose.weight", "deccam.bias", "init_cam"} <= names
    assert not any(name.startswith("fc.") for name in names)


def test_another_network_is_named(state, body, tmp_path):
    part = {name: value for name, value in state.items() if not name.startswith("dec")}
    with pytest.raises(UserError, match=r"lacks deccam.bias and 5 more; give a checkpoint of SPIN"):
        SpinRecovery(saved(part, tmp_path), body)
    wrong = state | {"init_cam": torch.zeros(1, 4)}
    with pytest.raises(UserError, match=r"init_cam is \(1, 4\), not \(1, 3\)"):
        SpinRecovery(saved(wrong, tmp_path), body)


def test_a_damaged_or_missing_checkpoint_is_named(body, tmp_path):
    path = tmp_path / "x.pt"
    with pytest.raises(UserError, match="no mesh regressor at"):
        SpinRecovery(path, body)
    path.write_bytes(b"hello")
    with pytest.raises(UserError, match="cannot be read"):
        SpinRecovery(path, body)
