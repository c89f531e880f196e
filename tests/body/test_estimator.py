"""The built-in mesh regressor on rendered people that it has not seen."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.estimate.estimator import MeshRecovery
from reid_gen.body.estimate.regressor import HEIGHT, WIDTH, seen_joints
from reid_gen.body.estimate.splits import LOW
from reid_gen.body.model import built_in
from reid_gen.pedestrians.regressor_samples import draw_lessons
from reid_gen.pedestrians.renderer import Studio


@pytest.fixture(scope="module")
def lessons():
    return draw_lessons(Studio(77, HEIGHT, WIDTH), range(0, 1200, 10))


@pytest.fixture(scope="module")
def found(lessons):
    keys = tuple(f"{number}.jpg" for number in range(len(lessons.pixels)))
    return MeshRecovery()(keys, lessons.pixels)


def seen(rotation, shape, camera):
    joints = built_in().joints(torch.from_numpy(rotation).float(), torch.from_numpy(shape))
    return seen_joints(joints, torch.from_numpy(camera)).numpy()


def test_joints_lie_within_some_pixels_and_people_face_the_right_way(lessons, found):
    there = lessons.person
    rotation = Rotation.from_rotvec(found.pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    one = seen(rotation, found.shape, found.camera)
    two = seen(lessons.rotation, lessons.shape, lessons.camera)
    pixels = np.linalg.norm(one - two, axis=-1)[there].mean() * HEIGHT / 2
    assert pixels < 5
    facing = (rotation[:, 0, :, 2] * lessons.rotation[:, 0, :, 2]).sum(-1)[there]
    assert np.median(facing) > np.cos(np.deg2rad(20))
    assert (facing > 0).mean() > 0.9


def test_crops_without_a_whole_person_score_low(lessons, found):
    there = lessons.person
    assert not there.all()
    assert found.score[~there].mean() < LOW < found.score[there].mean()


def spoilt(people, kind):
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
def test_nobody_two_people_or_part_of_one_score_lower_than_nearly_all_people(lessons, found, kind):
    people = spoilt(lessons.pixels[lessons.person][:16], kind)
    score = MeshRecovery()(tuple(map(str, range(16))), people).score
    assert np.median(score) < np.quantile(found.score[lessons.person], 0.25)
