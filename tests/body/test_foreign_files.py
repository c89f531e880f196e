import pickle

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import project
from reid_gen.body.estimate.foreign_files import read_body_files
from reid_gen.body.model import BodyModel
from reid_gen.errors import UserError
from tests.body.shapes import random_body

KEY = "query/0001_c1s1_000001_00.jpg"
STEM = "0001_c1s1_000001_00"


@pytest.fixture(scope="module")
def body():
    return BodyModel(random_body())


def estimate(seed=0):
    rng = np.random.default_rng(seed)
    pose, betas = rng.normal(0, 0.5, (24, 3)), rng.normal(size=10)
    return pose, betas, np.array([0.9, 0.05, 0.1])


def hmr_joints_2d(body, pose, betas, camera, side):
    """Joints in pixels by HMR's own formula, in the enclosing square of ``side`` pixels."""
    rotation = torch.tensor(Rotation.from_rotvec(pose).as_matrix())[None].float()
    joints = body.forward_joints(rotation, torch.tensor(betas)[None].float())[0].numpy()
    return side / 2 + side / 2 * camera[0] * (joints[:, :2] + camera[1:])


def table_joints_2d(body, table, height, width):
    """Joints in pixels and depth by our camera convention."""
    rotation = torch.tensor(Rotation.from_rotvec(table.pose[0]).as_matrix())[None].float()
    joints = body.forward_joints(rotation, torch.tensor(table.shape)).numpy()
    return project(joints - joints[:, :1], table.camera, height, width)[0]


@pytest.mark.parametrize(("height", "width"), [(128, 64), (60, 100)])
def test_read_body_files_keeps_hmr_projections(body, tmp_path, height, width):
    pose, betas, camera = estimate()
    theta = np.concatenate([camera, pose.ravel(), betas])
    np.savez(tmp_path / f"{STEM}.npz", theta=theta)
    table = read_body_files(tmp_path, [KEY], np.array([[height, width]]), body)
    side = max(height, width)
    margin = np.array([(side - width) / 2, (side - height) / 2])
    expected = hmr_joints_2d(body, pose, betas, camera, side) - margin
    actual = table_joints_2d(body, table, height, width)[:, :2]
    np.testing.assert_allclose(actual, expected, atol=1e-2)


def test_read_body_files_keeps_the_depth_order(body, tmp_path):
    pose, betas, camera = estimate(1)
    np.savez(tmp_path / f"{STEM}.npz", pose=pose, betas=betas, cam=camera)
    table = read_body_files(tmp_path, [KEY], np.array([[128, 64]]), body)
    rotation = torch.tensor(Rotation.from_rotvec(pose).as_matrix())[None].float()
    hmr_depth = body.forward_joints(rotation, torch.tensor(betas)[None].float())[0, :, 2].numpy()
    depth = table_joints_2d(body, table, 128, 64)[:, 2]
    np.testing.assert_allclose(depth - depth[0], hmr_depth - hmr_depth[0], atol=1e-5)


def test_read_body_files_reads_all_known_formats_alike(body, tmp_path):
    pose, betas, camera = estimate()
    matrices = Rotation.from_rotvec(pose).as_matrix()
    formats = {
        "plain": {"pose": pose, "betas": betas, "cam": camera},
        "spin": {"pred_rotmat": matrices[None], "pred_betas": betas[None], "pred_camera": camera},
        "humans": {
            "global_orient": matrices[:1],
            "body_pose": matrices[1:],
            "betas": betas,
            "pred_cam": camera,
        },
        "hmr": {"theta": np.concatenate([camera, pose.ravel(), betas])[None]},
    }
    tables = []
    for name, content in formats.items():
        folder = tmp_path / name / "query"
        folder.mkdir(parents=True)
        (folder / f"{STEM}.pkl").write_bytes(pickle.dumps(content))
        tables.append(read_body_files(tmp_path / name, [KEY], np.array([[128, 64]]), body))
    for table in tables[1:]:
        np.testing.assert_allclose(table.pose, tables[0].pose, atol=1e-5)
        np.testing.assert_allclose(table.shape, tables[0].shape, atol=1e-6)
        np.testing.assert_allclose(table.camera, tables[0].camera, atol=1e-6)


def test_read_body_files_names_images_without_a_file(body, tmp_path):
    with pytest.raises(UserError, match=f"has no body for 1 of 1 images: {KEY}; name each file"):
        read_body_files(tmp_path, [KEY], np.array([[128, 64]]), body)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"theta": np.zeros(80)}, r"theta has 80 values; give `theta` \[85\]"),
        ({"betas": np.zeros(10)}, "has none of pose, pred_pose, pred_rotmat"),
        ({"pose": np.zeros(72), "cam": np.zeros(3)}, "has none of shape, betas, pred_betas"),
        ({"pose": np.zeros(165)}, "the pose has 165 values"),
        (
            {"pose": np.zeros(72), "betas": np.zeros(4), "cam": np.zeros(3)},
            "4 shape and 3 camera values",
        ),
    ],
)
def test_read_body_files_names_a_file_without_a_body(body, tmp_path, content, message):
    np.savez(tmp_path / f"{STEM}.npz", **content)
    with pytest.raises(UserError, match=message):
        read_body_files(tmp_path, [KEY], np.array([[128, 64]]), body)


def test_read_body_files_names_a_damaged_file(body, tmp_path):
    (tmp_path / f"{STEM}.npz").write_text("hello")
    with pytest.raises(UserError, match=f"{STEM}.npz holds no body"):
        read_body_files(tmp_path, [KEY], np.array([[128, 64]]), body)
