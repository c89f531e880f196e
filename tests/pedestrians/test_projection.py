import numpy as np

from reid_gen.pedestrians.projection import Framing, View, frame, weak_camera

FRONT = Framing(yaw=0, pitch=0, distance=8, fill=0.9, x=0, y=0)


def crowd(seed=0):
    """Points that are taller than wide, as a person is."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(-1, 1, (50, 3)) * np.array([0.3, 0.9, 0.2])).astype(np.float32)


def test_projection_equals_the_pinhole_formula():
    view = frame(crowd(), Framing(0.7, 0.2, 5, 0.9, 0.1, -0.05), 128, 64)
    for point, seen in zip(crowd(), view.screen(crowd()), strict=True):
        x, y, z = view.rotation @ (point - view.centre)
        nearer = view.distance / (view.distance - z)
        np.testing.assert_allclose(
            seen[0], view.offset[0] + view.scale * x * nearer, rtol=1e-4, atol=1e-3
        )
        np.testing.assert_allclose(
            seen[1], view.offset[1] - view.scale * y * nearer, rtol=1e-4, atol=1e-3
        )
        np.testing.assert_allclose(seen[2], view.distance - z, rtol=1e-5)


def test_the_body_fills_its_share_of_the_box_and_stands_in_the_middle():
    seen = frame(crowd(), FRONT, 128, 64).screen(crowd())
    low, high = seen[:, :2].min(0), seen[:, :2].max(0)
    np.testing.assert_allclose(high[1] - low[1], 0.9 * 128, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose((low + high) / 2, [32, 64], atol=1e-3)


def test_a_camera_above_sees_the_head_nearer_than_the_feet():
    view = frame(crowd(), Framing(0, 0.3, 8, 0.9, 0, 0), 128, 64)
    head, feet = view.screen(np.array([[0, 0.9, 0], [0, -0.9, 0]], np.float32))
    assert head[2] < feet[2]


def test_turning_to_the_left_brings_the_left_side_away_from_an_observer_in_front():
    # At 0 the face (+z) looks at the camera; turned a quarter to the person's left it looks
    # to the right of the picture, where the person's left hand was.
    view = frame(crowd(), FRONT, 128, 64)
    turned = view.turned(np.pi / 2)
    nose = view.centre + np.array([0, 0, 0.5], np.float32)
    assert turned.screen(nose)[0] > view.screen(nose)[0] + 1
    assert isinstance(turned, View)
    assert (turned.scale, turned.distance) == (view.scale, view.distance)


def test_turning_all_the_way_round_changes_nothing():
    view = frame(crowd(), Framing(1, 0.2, 6, 0.9, 0, 0), 128, 64)
    turned = view.turned(2 * np.pi)
    np.testing.assert_allclose(turned.screen(crowd()), view.screen(crowd()), atol=1e-3)


def test_the_weak_camera_is_exact_for_a_camera_far_away():
    joints = crowd(3)[:24]
    view = frame(joints, Framing(0.5, 0.1, 1e5, 0.8, 0.05, 0.02), 128, 64)
    scale, x, y = weak_camera(view, joints, 128, 64)
    flat = (joints - joints[0]) @ view.rotation.T
    across = 32 + 64 * (scale * flat[:, 0] + x)
    down = 64 + 64 * (-scale * flat[:, 1] + y)
    np.testing.assert_allclose(np.stack([across, down], 1), view.screen(joints)[:, :2], atol=0.05)
