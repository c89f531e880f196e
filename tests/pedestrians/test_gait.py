import numpy as np
from scipy.spatial.transform import Rotation

from reid_gen.pedestrians.gait import HIP, _curve, walking_poses


def fourier_series(phase, samples):
    """Fourier series of the samples up to the fourth harmonic, term by term, in radians."""
    total = 0.0
    for k in range(-4, 5):
        coefficient = sum(
            sample * np.exp(-2j * np.pi * k * n / len(samples)) for n, sample in enumerate(samples)
        ) / len(samples)
        total += (coefficient * np.exp(2j * np.pi * k * phase)).real
    return np.deg2rad(total)


def test_curve_equals_the_fourier_series_of_the_samples():
    phase = np.linspace(0, 1, 7)
    expected = [fourier_series(p, HIP) for p in phase]
    np.testing.assert_allclose(_curve(HIP, phase), expected, atol=1e-12)


def test_walking_poses_alternate_legs_and_arms():
    poses = walking_poses(4_000, np.random.default_rng(0), standing=0)
    left_leg, right_leg = -poses[:, 1, 0], -poses[:, 2, 0]
    assert np.corrcoef(left_leg, right_leg)[0, 1] < -0.5
    # The arm, +x in T-pose, hangs down (-y) and swings forward to +z.
    left_arm = Rotation.from_rotvec(poses[:, 16]).apply([1, 0, 0])
    assert left_arm[:, 1].max() < -0.5
    assert np.corrcoef(left_leg, left_arm[:, 2])[0, 1] < -0.5


def test_walking_poses_bend_knees_and_elbows_one_way():
    poses = walking_poses(2_000, np.random.default_rng(1))
    assert (poses[:, [4, 5], 0] > np.deg2rad(-10)).all()
    assert (poses[:, 18, 1] < 0).all()
    assert (poses[:, 19, 1] > 0).all()


def test_walking_poses_depend_on_the_seed_alone():
    first, second = (walking_poses(3, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
