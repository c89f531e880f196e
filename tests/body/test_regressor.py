import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.estimate.regressor import (
    HEIGHT,
    WIDTH,
    Estimate,
    Lesson,
    MeshRegressor,
    from_6d,
    lesson_terms,
    seen_joints,
    to_6d,
)


def rotations(*shape, seed=0):
    count = int(np.prod(shape))
    found = Rotation.random(count, random_state=seed).as_matrix().reshape(*shape, 3, 3)
    return torch.tensor(found).double()


def example(count=3, seed=0):
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    estimate = Estimate(
        rotations(count, 24, seed=1), normal(count, 10), normal(count, 3), normal(count, 24)
    )
    lesson = Lesson(
        rotations(count, 24, seed=2),
        normal(count, 10),
        normal(count, 24, 3),
        0.1 * normal(count, 24, 2),
        torch.tensor([True, False, True]),
    )
    return estimate, 0.1 * normal(count, 24, 3), lesson


def test_six_numbers_hold_a_rotation_and_any_six_give_one():
    wanted = rotations(50)
    torch.testing.assert_close(from_6d(to_6d(wanted)), wanted)
    found = from_6d(torch.randn(50, 6, dtype=torch.float64))
    unit = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    torch.testing.assert_close(found @ found.transpose(1, 2), unit)
    torch.testing.assert_close(torch.det(found), torch.ones(50, dtype=torch.float64))


def test_losses_equal_loops_over_images_and_joints():
    estimate, joints, lesson = example()
    found = lesson_terms(estimate, joints, lesson)
    sums = dict.fromkeys(["rotation", "joints", "seen", "shape"], 0.0)
    confidence = 0.0
    for b in range(3):
        for j in range(24):
            relative = joints[b, j] - joints[b, 0]
            scale, shift_x, shift_y = estimate.camera[b]
            x = scale * relative[0] + shift_x - lesson.seen[b, j, 0]
            y = -scale * relative[1] + shift_y - lesson.seen[b, j, 1]
            error = (x**2 + y**2) ** 0.5
            right = 1.0 if lesson.person[b] and error < 0.1 else 0.0
            p = 1 / (1 + np.exp(-float(estimate.confidence[b, j])))
            confidence -= (right * np.log(p) + (1 - right) * np.log(1 - p)) / 72
            if not lesson.person[b]:
                continue
            weight = 4 if j == 0 else 1
            square = (estimate.rotation[b, j] - lesson.rotation[b, j]) ** 2
            sums["rotation"] += weight * float(square.mean()) / 24 / 2
            away = relative - (lesson.joints[b, j] - lesson.joints[b, 0])
            sums["joints"] += float(away.abs().sum()) / 72 / 2
            sums["seen"] += float(error) / 24 / 2
        if lesson.person[b]:
            sums["shape"] += float(((estimate.shape[b] - lesson.shape[b]) ** 2).mean()) / 2
    for name, value in sums.items():
        np.testing.assert_allclose(float(found[name]), value, rtol=1e-6)
    np.testing.assert_allclose(float(found["confidence"]), confidence, rtol=1e-6)


def test_without_any_person_only_confidence_counts():
    estimate, joints, lesson = example()
    nobody = Lesson(
        lesson.rotation, lesson.shape, lesson.joints, lesson.seen, torch.zeros(3, dtype=torch.bool)
    )
    terms = lesson_terms(estimate, joints, nobody)
    assert terms["confidence"] > 0
    assert all(value == 0 for name, value in terms.items() if name != "confidence")


def test_a_joint_one_metre_up_is_seen_a_scale_higher():
    joints = torch.tensor([[[0.0, 0, 0], [0, 1, 0], [1, 0, 5]]])
    seen = seen_joints(joints, torch.tensor([[0.8, 0.1, -0.2]]))
    torch.testing.assert_close(seen, torch.tensor([[[0.1, -0.2], [0.1, -1.0], [0.9, -0.2]]]))


def test_an_untrained_regressor_states_the_body_it_begins_at():
    torch.manual_seed(0)
    regressor = MeshRegressor(width=8, hidden=32).eval()
    mean = rotations(24).float()
    regressor.begin_at(mean, torch.full((10,), 0.5), torch.tensor([0.9, 0, 0.1]))
    estimate = regressor(torch.rand(2, 3, HEIGHT, WIDTH))
    torch.testing.assert_close(estimate.rotation[0], mean, atol=0.2, rtol=0)
    torch.testing.assert_close(estimate.camera[1], torch.tensor([0.9, 0, 0.1]), atol=0.2, rtol=0)
    assert estimate.score.shape == (2,)
    assert ((estimate.score > 0) & (estimate.score < 1)).all()
