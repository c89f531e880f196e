import numpy as np

from reid_gen.pedestrians.projection import Framing, Projection, fit_to_box, fit_weak_perspective

FRONT = Framing(yaw=0, pitch=0, distance=8, fill=0.9, x=0, y=0)


def body_points(seed=0):
    """Random points with the proportions of a person."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(-1, 1, (50, 3)) * np.array([0.3, 0.9, 0.2])).astype(np.float32)


def test_project_equals_the_pinhole_formula():
    camera = fit_to_box(body_points(), Framing(0.7, 0.2, 5, 0.9, 0.1, -0.05), 128, 64)
    for point, projected in zip(body_points(), camera.project(body_points()), strict=True):
        x, y, z = camera.rotation @ (point - camera.centre)
        magnification = camera.distance / (camera.distance - z)
        expected_x = camera.offset[0] + camera.scale * x * magnification
        expected_y = camera.offset[1] - camera.scale * y * magnification
        np.testing.assert_allclose(projected[0], expected_x, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(projected[1], expected_y, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(projected[2], camera.distance - z, rtol=1e-5)


def test_fit_to_box_scales_and_centres_the_body():
    projected = fit_to_box(body_points(), FRONT, 128, 64).project(body_points())
    low, high = projected[:, :2].min(0), projected[:, :2].max(0)
    np.testing.assert_allclose(high[1] - low[1], 0.9 * 128, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose((low + high) / 2, [32, 64], atol=1e-3)


def test_fit_to_box_pitch_brings_the_head_nearer_than_the_feet():
    camera = fit_to_box(body_points(), Framing(0, 0.3, 8, 0.9, 0, 0), 128, 64)
    head, feet = camera.project(np.array([[0, 0.9, 0], [0, -0.9, 0]], np.float32))
    assert head[2] < feet[2]


def test_turned_rotates_the_person_to_their_left():
    # At yaw 0 the face (+z) looks at the camera; after a quarter turn to the person's left it looks
    # to the right of the image, where the person's left hand was.
    camera = fit_to_box(body_points(), FRONT, 128, 64)
    turned = camera.turned(np.pi / 2)
    nose = camera.centre + np.array([0, 0, 0.5], np.float32)
    assert turned.project(nose)[0] > camera.project(nose)[0] + 1
    assert isinstance(turned, Projection)
    assert (turned.scale, turned.distance) == (camera.scale, camera.distance)


def test_turned_by_a_full_circle_changes_nothing():
    camera = fit_to_box(body_points(), Framing(1, 0.2, 6, 0.9, 0, 0), 128, 64)
    turned = camera.turned(2 * np.pi).project(body_points())
    np.testing.assert_allclose(turned, camera.project(body_points()), atol=1e-3)


def test_fit_weak_perspective_is_exact_for_a_distant_camera():
    joints = body_points(3)[:24]
    camera = fit_to_box(joints, Framing(0.5, 0.1, 1e5, 0.8, 0.05, 0.02), 128, 64)
    scale, shift_x, shift_y = fit_weak_perspective(camera, joints, 128, 64)
    in_camera = (joints - joints[0]) @ camera.rotation.T
    x = 32 + 64 * (scale * in_camera[:, 0] + shift_x)
    y = 64 + 64 * (-scale * in_camera[:, 1] + shift_y)
    np.testing.assert_allclose(np.stack([x, y], 1), camera.project(joints)[:, :2], atol=0.05)
