"""Accuracy of the bundled mesh regressor on held-out rendered people."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.estimate.estimator import RegressorEstimator
from reid_gen.body.estimate.regressor import HEIGHT, WIDTH, project_joints
from reid_gen.body.estimate.splits import LOW_SCORE
from reid_gen.body.model import built_in_body
from reid_gen.pedestrians.regressor_samples import render_samples
from reid_gen.pedestrians.renderer import PedestrianRenderer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lessons():
    return render_samples(PedestrianRenderer(77, HEIGHT, WIDTH), range(0, 1200, 10))


@pytest.fixture(scope="module")
def table(lessons):
    keys = tuple(f"{number}.jpg" for number in range(len(lessons.pixels)))
    return RegressorEstimator()(keys, lessons.pixels)


def joints_2d(rotation, shape, camera):
    joints = built_in_body().forward_joints(
        torch.from_numpy(rotation).float(), torch.from_numpy(shape)
    )
    return project_joints(joints, torch.from_numpy(camera)).numpy()


def test_estimator_recovers_joints_and_viewpoints(lessons, table):
    person = lessons.person
    rotation = Rotation.from_rotvec(table.pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    actual = joints_2d(rotation, table.shape, table.camera)
    expected = joints_2d(lessons.rotation, lessons.shape, lessons.camera)
    error_in_pixels = np.linalg.norm(actual - expected, axis=-1)[person].mean() * HEIGHT / 2
    assert error_in_pixels < 5
    cosine = (rotation[:, 0, :, 2] * lessons.rotation[:, 0, :, 2]).sum(-1)[person]
    assert np.median(cosine) > np.cos(np.deg2rad(20))
    assert (cosine > 0).mean() > 0.9


def test_estimator_scores_crops_without_a_whole_person_low(lessons, table):
    person = lessons.person
    assert not person.all()
    assert table.score[~person].mean() < LOW_SCORE < table.score[person].mean()


def corrupt(people, kind):
    rng = np.random.default_rng(0)
    half = HEIGHT // 2
    match kind:
        case "grey":
            return np.full_like(people, 128)
        case "noise":
            return rng.integers(0, 256, people.shape, dtype=np.uint8)
        case "halves of two people":
            return np.roll(people, WIDTH // 2, axis=2)
        case "two people side by side":
            return np.concatenate([people[:, :, ::2], np.roll(people, 1, axis=0)[:, :, ::2]], 2)
        case "cut off below the chest":
            return people[:, :half].repeat(2, axis=1)
        case "legs alone":
            return people[:, half:].repeat(2, axis=1)


@pytest.mark.parametrize(
    "kind",
    [
        *("grey", "noise", "halves of two people", "two people side by side"),
        *("cut off below the chest", "legs alone"),
    ],
)
def test_estimator_scores_corrupted_crops_low(lessons, table, kind):
    crops = corrupt(lessons.pixels[lessons.person][:16], kind)
    score = RegressorEstimator()(tuple(map(str, range(16))), crops).score
    assert np.median(score) < np.quantile(table.score[lessons.person], 0.25)
