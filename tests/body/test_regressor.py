import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.estimate.regressor import (
    HEIGHT,
    WIDTH,
    BodyEstimate,
    BodyTarget,
    MeshRegressor,
    from_6d,
    project_joints,
    regressor_losses,
    to_6d,
)


def rotations(*shape, seed=0):
    count = int(np.prod(shape))
    matrices = Rotation.random(count, random_state=seed).as_matrix().reshape(*shape, 3, 3)
    return torch.tensor(matrices).double()


def example(count=3, seed=0):
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    estimate = BodyEstimate(
        rotations(count, 24, seed=1), normal(count, 10), normal(count, 3), normal(count, 24)
    )
    target = BodyTarget(
        rotations(count, 24, seed=2),
        normal(count, 10),
        normal(count, 24, 3),
        0.1 * normal(count, 24, 2),
        torch.tensor([True, False, True]),
    )
    return estimate, 0.1 * normal(count, 24, 3), target


def test_from_6d_inverts_to_6d_and_always_gives_rotations():
    expected = rotations(50)
    torch.testing.assert_close(from_6d(to_6d(expected)), expected)
    matrices = from_6d(torch.randn(50, 6, dtype=torch.float64))
    identity = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    torch.testing.assert_close(matrices @ matrices.transpose(1, 2), identity)
    torch.testing.assert_close(torch.det(matrices), torch.ones(50, dtype=torch.float64))


def test_regressor_losses_equal_loops_over_images_and_joints():
    estimate, joints, target = example()
    losses = regressor_losses(estimate, joints, target)
    sums = dict.fromkeys(["rotation", "joints", "joints_2d", "shape"], 0.0)
    confidence = 0.0
    for b in range(3):
        for j in range(24):
            relative = joints[b, j] - joints[b, 0]
            scale, shift_x, shift_y = estimate.camera[b]
            x = scale * relative[0] + shift_x - target.joints_2d[b, j, 0]
            y = -scale * relative[1] + shift_y - target.joints_2d[b, j, 1]
            error_2d = (x**2 + y**2) ** 0.5
            correct = 1.0 if target.person[b] and error_2d < 0.1 else 0.0
            p = 1 / (1 + np.exp(-float(estimate.confidence[b, j])))
            confidence -= (correct * np.log(p) + (1 - correct) * np.log(1 - p)) / 72
            if not target.person[b]:
                continue
            weight = 4 if j == 0 else 1
            square = (estimate.rotation[b, j] - target.rotation[b, j]) ** 2
            sums["rotation"] += weight * float(square.mean()) / 24 / 2
            error_3d = relative - (target.joints[b, j] - target.joints[b, 0])
            sums["joints"] += float(error_3d.abs().sum()) / 72 / 2
            sums["joints_2d"] += float(error_2d) / 24 / 2
        if target.person[b]:
            sums["shape"] += float(((estimate.shape[b] - target.shape[b]) ** 2).mean()) / 2
    for name, value in sums.items():
        np.testing.assert_allclose(float(losses[name]), value, rtol=1e-6)
    np.testing.assert_allclose(float(losses["confidence"]), confidence, rtol=1e-6)


def test_regressor_losses_without_people_are_confidence_only():
    estimate, joints, target = example()
    nobody = BodyTarget(
        target.rotation,
        target.shape,
        target.joints,
        target.joints_2d,
        torch.zeros(3, dtype=torch.bool),
    )
    losses = regressor_losses(estimate, joints, nobody)
    assert losses["confidence"] > 0
    assert all(value == 0 for name, value in losses.items() if name != "confidence")


def test_project_joints_scales_and_shifts_about_the_pelvis():
    joints = torch.tensor([[[0.0, 0, 0], [0, 1, 0], [1, 0, 5]]])
    joints_2d = project_joints(joints, torch.tensor([[0.8, 0.1, -0.2]]))
    torch.testing.assert_close(joints_2d, torch.tensor([[[0.1, -0.2], [0.1, -1.0], [0.9, -0.2]]]))


def test_untrained_mesh_regressor_predicts_the_mean_body():
    torch.manual_seed(0)
    regressor = MeshRegressor(width=8, hidden=32).eval()
    mean = rotations(24).float()
    regressor.set_mean_body(mean, torch.full((10,), 0.5), torch.tensor([0.9, 0, 0.1]))
    estimate = regressor(torch.rand(2, 3, HEIGHT, WIDTH))
    torch.testing.assert_close(estimate.rotation[0], mean, atol=0.2, rtol=0)
    torch.testing.assert_close(estimate.camera[1], torch.tensor([0.9, 0, 0.1]), atol=0.2, rtol=0)
    assert estimate.score.shape == (2,)
    assert ((estimate.score > 0) & (estimate.score < 1)).all()
