import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import project
from reid_gen.body.estimate.keypoints_and_masks import POINTS, Evidence, EvidenceFiles
from reid_gen.body.estimate.regressor import seen_joints
from reid_gen.body.estimate.smplify import COCO, SMPL, refine
from reid_gen.body.model import built_in
from reid_gen.body.render.rasterise import rasterise
from reid_gen.body.table import BodyTable
from reid_gen.errors import UserError
from reid_gen.pedestrians.gait import walking_poses

HEIGHT, WIDTH = 128, 64


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(0)
    pose = walking_poses(4, rng).astype(np.float32)
    turn = Rotation.from_rotvec(np.outer([0.3, 1.5, 3, 5], [0, 1, 0]))
    pose[:, 0] = (turn * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    return BodyTable(
        keys=tuple("abcd"),
        pose=pose,
        shape=np.zeros((4, 10), np.float32),
        camera=np.tile(np.array([0.95, 0, -0.1], np.float32), (4, 1)),
        score=np.full(4, 0.25, np.float32),
        size=np.tile([HEIGHT, WIDTH], (4, 1)),
        source="truth",
    )


def posed(table):
    rotation = Rotation.from_rotvec(table.pose.reshape(-1, 3)).as_matrix()
    matrices = torch.from_numpy(rotation).float().view(-1, 24, 3, 3)
    with torch.no_grad():
        return built_in()(matrices, torch.from_numpy(table.shape))


def seen(table):
    return seen_joints(posed(table).joints, torch.from_numpy(table.camera)).numpy()


def points_of(table):
    points = np.zeros((len(table.keys), POINTS, 3), np.float32)
    points[:, COCO] = np.concatenate([seen(table)[:, SMPL], np.ones((4, 12, 1))], -1)
    return points


def mask_of(table):
    body = posed(table)
    vertices = (body.vertices - body.joints[:, :1]).numpy()
    screen = project(vertices, table.camera, HEIGHT, WIDTH)
    return rasterise(screen, built_in().faces, HEIGHT, WIDTH).face >= 0


def disturbed(table, degrees=25.0):
    rng = np.random.default_rng(1)
    turn = Rotation.from_rotvec([0, np.deg2rad(degrees), 0])
    pose = (table.pose + rng.normal(0, 0.1, table.pose.shape)).astype(np.float32)
    pose[:, 0] = (turn * Rotation.from_rotvec(table.pose[:, 0])).as_rotvec()
    return replace(table, pose=pose, camera=table.camera + np.float32([0.05, 0.06, -0.05]))


def error(found, truth):
    return np.linalg.norm(seen(found) - seen(truth), axis=-1).mean(1)


def nothing():
    return np.zeros((4, POINTS, 3), np.float32), np.zeros((4, HEIGHT, WIDTH), bool)


def test_key_points_pull_bodies_to_the_truth(truth):
    estimate = disturbed(truth)
    found = refine(estimate, Evidence(points_of(truth), nothing()[1]), built_in())
    assert (error(found, truth) < 0.35 * error(estimate, truth)).all()
    assert (found.score > 0.95).all()


def test_key_points_undo_a_body_with_its_back_to_front(truth):
    estimate = disturbed(truth, degrees=170)
    found = refine(estimate, Evidence(points_of(truth), nothing()[1]), built_in())
    facing = Rotation.from_rotvec(found.pose[:, 0]).as_matrix()[..., 2]
    wanted = Rotation.from_rotvec(truth.pose[:, 0]).as_matrix()[..., 2]
    assert ((facing * wanted).sum(1) > np.cos(np.deg2rad(60))).all()


def test_masks_pull_bodies_to_the_truth(truth):
    estimate, wanted = disturbed(truth, degrees=0), mask_of(truth)
    found = refine(estimate, Evidence(nothing()[0], wanted), built_in())

    def iou(table):
        drawn = mask_of(table)
        return (drawn & wanted).sum((1, 2)) / (drawn | wanted).sum((1, 2))

    assert (iou(found) > iou(estimate) + 0.1).all()
    np.testing.assert_allclose(found.score, iou(found), atol=1e-3)


def test_images_without_evidence_keep_their_estimate(truth):
    points, mask = nothing()
    estimate = disturbed(truth)
    points[2] = points_of(truth)[2]
    found = refine(estimate, Evidence(points, mask), built_in())
    for row in (0, 1, 3):
        np.testing.assert_array_equal(found.pose[row], estimate.pose[row])
        assert found.score[row] == estimate.score[row]
    assert error(found, truth)[2] < error(estimate, truth)[2]
    assert refine(estimate, Evidence(*nothing()), built_in()) is estimate


@pytest.fixture
def files(tmp_path):
    Pillow.new("RGB", (40, 100)).save(tmp_path / "a.jpg")
    points = np.tile([10.0, 75.0, 0.9], POINTS)
    entries = [
        {"image_id": "a.jpg", "keypoints": [0.0] * 51, "score": 0.2},
        {"image_id": "a.jpg", "keypoints": points.tolist(), "score": 2.5},
    ]
    (tmp_path / "points.json").write_text(json.dumps(entries))
    (tmp_path / "masks").mkdir()
    mask = np.zeros((100, 40), np.uint8)
    mask[50:] = 255
    Pillow.fromarray(mask).save(tmp_path / "masks" / "a.png")
    return tmp_path


def test_files_are_read_in_half_heights_and_the_best_person_counts(files):
    paths = {"query/a.jpg": files / "a.jpg", "query/b.jpg": files / "b.jpg"}
    evidence = EvidenceFiles(files / "points.json", files / "masks", paths)
    found = evidence.of(("query/a.jpg", "query/b.jpg"), HEIGHT, WIDTH)
    np.testing.assert_allclose(found.points[0, 3], [-0.25, 0.5, 0.9], atol=1e-6)
    assert not found.points[1].any()
    assert found.mask[0, 70:].all()
    assert not found.mask[0, :58].any()
    assert not found.mask[1].any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello", "holds no key points"),
        ('[{"keypoints": []}]', "entry 0"),
        ('[{"image_id": "a.jpg", "keypoints": [1, 2]}]', "entry 0"),
        ('[{"image_id": "z.jpg", "keypoints": %s}]' % ([0] * 51), "knows none of the 1 images"),
    ],
)
def test_a_file_of_something_else_is_named(files, content, message):
    (files / "points.json").write_text(content)
    with pytest.raises(UserError, match=message):
        EvidenceFiles(files / "points.json", None, {"a.jpg": files / "a.jpg"})


def test_a_missing_folder_of_masks_is_named(files):
    with pytest.raises(UserError, match=r"no folder of masks at .*none; check --masks"):
        EvidenceFiles(None, files / "none", {"a.jpg": files / "a.jpg"})
