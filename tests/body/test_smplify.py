import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from scipy.spatial.transform import Rotation

from reid_gen.body.estimate.keypoints_and_masks import NUM_KEYPOINTS, Evidence, EvidenceFiles
from reid_gen.body.estimate.regressor import project_joints
from reid_gen.body.estimate.smplify import COCO_JOINTS, SMPL_JOINTS, refine
from reid_gen.body.model import built_in_body
from reid_gen.body.render.rasterise import rasterise
from reid_gen.errors import UserError
from reid_gen.pedestrians.gait import walking_poses
from tests.body.shapes import body_table, pose_bodies, project_bodies

HEIGHT, WIDTH = 128, 64


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(0)
    pose = walking_poses(4, rng).astype(np.float32)
    turn = Rotation.from_rotvec(np.outer([0.3, 1.5, 3, 5], [0, 1, 0]))
    pose[:, 0] = (turn * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    return body_table(pose, score=np.full(4, 0.25, np.float32), source="truth")


def joints_2d(table):
    return project_joints(pose_bodies(table).joints, torch.from_numpy(table.camera)).numpy()


def keypoints_of(table):
    """COCO keypoints that agree with a table's bodies, with confidence 1."""
    keypoints = np.zeros((len(table.keys), NUM_KEYPOINTS, 3), np.float32)
    joints = joints_2d(table)[:, SMPL_JOINTS]
    keypoints[:, COCO_JOINTS] = np.concatenate([joints, np.ones((4, 12, 1))], -1)
    return keypoints


def masks_of(table):
    """Masks that agree with a table's bodies."""
    screen = project_bodies(table, HEIGHT, WIDTH)
    return rasterise(screen, built_in_body().faces, HEIGHT, WIDTH).face >= 0


def perturb(table, degrees=25.0):
    """Rotate bodies by ``degrees`` and add noise to their poses and cameras."""
    rng = np.random.default_rng(1)
    turn = Rotation.from_rotvec([0, np.deg2rad(degrees), 0])
    pose = (table.pose + rng.normal(0, 0.1, table.pose.shape)).astype(np.float32)
    pose[:, 0] = (turn * Rotation.from_rotvec(table.pose[:, 0])).as_rotvec()
    return replace(table, pose=pose, camera=table.camera + np.float32([0.05, 0.06, -0.05]))


def joint_error(table, truth):
    return np.linalg.norm(joints_2d(table) - joints_2d(truth), axis=-1).mean(1)


def no_evidence():
    return np.zeros((4, NUM_KEYPOINTS, 3), np.float32), np.zeros((4, HEIGHT, WIDTH), bool)


def test_refine_fits_bodies_to_keypoints(truth):
    estimate = perturb(truth)
    fitted = refine(estimate, Evidence(keypoints_of(truth), no_evidence()[1]), built_in_body())
    assert (joint_error(fitted, truth) < 0.35 * joint_error(estimate, truth)).all()
    assert (fitted.score > 0.95).all()


def test_refine_corrects_front_back_confusion_with_keypoints(truth):
    estimate = perturb(truth, degrees=170)
    fitted = refine(estimate, Evidence(keypoints_of(truth), no_evidence()[1]), built_in_body())
    facing = Rotation.from_rotvec(fitted.pose[:, 0]).as_matrix()[..., 2]
    expected = Rotation.from_rotvec(truth.pose[:, 0]).as_matrix()[..., 2]
    assert ((facing * expected).sum(1) > np.cos(np.deg2rad(60))).all()


def test_refine_fits_bodies_to_masks(truth):
    estimate, masks = perturb(truth, degrees=0), masks_of(truth)
    fitted = refine(estimate, Evidence(no_evidence()[0], masks), built_in_body())

    def iou(table):
        silhouettes = masks_of(table)
        return (silhouettes & masks).sum((1, 2)) / (silhouettes | masks).sum((1, 2))

    assert (iou(fitted) > iou(estimate) + 0.1).all()
    np.testing.assert_allclose(fitted.score, iou(fitted), atol=1e-3)


def test_refine_keeps_estimates_without_evidence(truth):
    keypoints, masks = no_evidence()
    estimate = perturb(truth)
    keypoints[2] = keypoints_of(truth)[2]
    fitted = refine(estimate, Evidence(keypoints, masks), built_in_body())
    for row in (0, 1, 3):
        np.testing.assert_array_equal(fitted.pose[row], estimate.pose[row])
        assert fitted.score[row] == estimate.score[row]
    assert joint_error(fitted, truth)[2] < joint_error(estimate, truth)[2]
    assert refine(estimate, Evidence(*no_evidence()), built_in_body()) is estimate


@pytest.fixture
def files(tmp_path):
    Pillow.new("RGB", (40, 100)).save(tmp_path / "a.jpg")
    keypoints = np.tile([10.0, 75.0, 0.9], NUM_KEYPOINTS)
    entries = [
        {"image_id": "a.jpg", "keypoints": [0.0] * 51, "score": 0.2},
        {"image_id": "a.jpg", "keypoints": keypoints.tolist(), "score": 2.5},
    ]
    (tmp_path / "points.json").write_text(json.dumps(entries))
    (tmp_path / "masks").mkdir()
    mask = np.zeros((100, 40), np.uint8)
    mask[50:] = 255
    Pillow.fromarray(mask).save(tmp_path / "masks" / "a.png")
    return tmp_path


def test_evidence_files_reads_keypoints_of_the_best_person(files):
    paths = {"query/a.jpg": files / "a.jpg", "query/b.jpg": files / "b.jpg"}
    reader = EvidenceFiles(files / "points.json", files / "masks", paths)
    evidence = reader.load(("query/a.jpg", "query/b.jpg"), HEIGHT, WIDTH)
    np.testing.assert_allclose(evidence.keypoints[0, 3], [-0.25, 0.5, 0.9], atol=1e-6)
    assert not evidence.keypoints[1].any()
    assert evidence.mask[0, 70:].all()
    assert not evidence.mask[0, :58].any()
    assert not evidence.mask[1].any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello", "holds no keypoints"),
        ('[{"keypoints": []}]', "entry 0"),
        ('[{"image_id": "a.jpg", "keypoints": [1, 2]}]', "entry 0"),
        (
            '[{"image_id": "z.jpg", "keypoints": %s}]' % ([0] * 51),
            "has no entry for any of the 1 images",
        ),
    ],
)
def test_evidence_files_names_an_invalid_file(files, content, message):
    (files / "points.json").write_text(content)
    with pytest.raises(UserError, match=message):
        EvidenceFiles(files / "points.json", None, {"a.jpg": files / "a.jpg"})


def test_evidence_files_names_a_missing_mask_folder(files):
    with pytest.raises(UserError, match=r"no folder of masks at .*none; check --masks"):
        EvidenceFiles(None, files / "none", {"a.jpg": files / "a.jpg"})
