from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import smplx
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.model import BodyModel, built_in_body, load_body
from tests.body.shapes import random_body
from tests.reference.skinning import skin


def rotations(count, seed=0):
    return Rotation.random(24 * count, random_state=seed).as_matrix().reshape(count, 24, 3, 3)


def test_body_model_equals_the_reference_skinning():
    arrays = random_body()
    pose = rotations(3)
    shape = np.random.default_rng(1).normal(size=(3, 10))
    posed = BodyModel(arrays)(torch.tensor(pose).float(), torch.tensor(shape).float())
    for row in range(3):
        vertices, joints = skin(arrays, pose[row], shape[row])
        np.testing.assert_allclose(posed.vertices[row], vertices, atol=2e-5)
        np.testing.assert_allclose(posed.joints[row], joints, atol=2e-5)


def test_forward_joints_equals_the_joints_of_forward():
    pose, shape = torch.tensor(rotations(2)).float(), torch.randn(2, 10)
    body = BodyModel(random_body())
    torch.testing.assert_close(body.forward_joints(pose, shape), body(pose, shape).joints)


def test_body_model_propagates_gradients_to_pose_and_shape():
    pose = torch.tensor(rotations(1)).float().requires_grad_()
    shape = torch.zeros(1, 10, requires_grad=True)
    BodyModel(random_body())(pose, shape).vertices.square().sum().backward()
    assert pose.grad.abs().sum() > 0
    assert shape.grad.abs().sum() > 0


def test_built_in_body_is_computed_by_smplx():
    assert any(isinstance(module, smplx.SMPLLayer) for module in built_in_body().modules())
    assert load_body(None) is built_in_body()


def test_built_in_body_has_human_proportions():
    body = built_in_body().arrays
    assert 1_000 <= len(body.template) <= 3_500
    low, high = body.template.min(0), body.template.max(0)
    assert 1.5 < high[1] - low[1] < 1.95
    joints = body.joint_regressor @ body.template
    assert joints[10, 1] < joints[7, 1] < joints[4, 1] < joints[1, 1] < joints[9, 1] < joints[15, 1]
    assert joints[16, 0] > 0 > joints[17, 0]
    assert joints[10, 2] > joints[7, 2]
    assert body.shape_samples.shape == (256, 10)


def test_built_in_body_is_symmetric():
    body = built_in_body().arrays
    joints = body.joint_regressor @ body.template
    left, right = joints[[1, 4, 7, 10, 16, 18, 20, 22]], joints[[2, 5, 8, 11, 17, 19, 21, 23]]
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=0.012)


def test_built_in_body_has_outward_faces():
    body = built_in_body().arrays
    a, b, c = (body.template[body.faces[:, corner]].astype(np.float64) for corner in range(3))
    volume = np.einsum("fc,fc->", a, np.cross(b, c)) / 6
    assert 0.04 < volume < 0.12
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    assert (areas > 0).all()


def test_built_in_body_file_is_under_a_megabyte():
    assert len((files("reid_gen.body") / "assets" / "body.npz").read_bytes()) < 1e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parents": np.zeros(23)}, r"parents: expected \(24,\), got \(23,\)"),
        ({"skinning": np.zeros((60, 24))}, "skinning: rows must sum to 1"),
        ({"faces": np.full((1, 3), 60)}, r"faces: expected vertices 0\.\.59"),
    ],
)
def test_body_arrays_rejects_inconsistent_arrays(change, message):
    with pytest.raises(ValueError, match=message):
        replace(random_body(), **change)
