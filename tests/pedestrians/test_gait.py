import numpy as np
from scipy.spatial.transform import Rotation

from reid_gen.pedestrians.gait import HIP, walking_poses


def flexion(phase, samples):
    """The Fourier series through the samples up to the fourth harmonic, term by term."""
    total = 0.0
    for k in range(-4, 5):
        coefficient = sum(
            sample * np.exp(-2j * np.pi * k * n / len(samples)) for n, sample in enumerate(samples)
        ) / len(samples)
        total += (coefficient * np.exp(2j * np.pi * k * phase)).real
    return np.deg2rad(total)


def test_the_curves_are_the_fourier_series_of_the_samples():
    from reid_gen.pedestrians.gait import _curve

    phase = np.linspace(0, 1, 7)
    wanted = [flexion(p, HIP) for p in phase]
    np.testing.assert_allclose(_curve(HIP, phase), wanted, atol=1e-12)


def test_legs_alternate_and_arms_swing_against_them():
    poses = walking_poses(4_000, np.random.default_rng(0), standing=0)
    left_leg, right_leg = -poses[:, 1, 0], -poses[:, 2, 0]
    assert np.corrcoef(left_leg, right_leg)[0, 1] < -0.5
    # A hanging arm (-y) that swings forward comes to +z.
    hang = Rotation.from_rotvec(poses[:, 16]).apply([1, 0, 0])
    assert hang[:, 1].max() < -0.5
    assert np.corrcoef(left_leg, hang[:, 2])[0, 1] < -0.5


def test_knees_and_elbows_bend_the_way_they_can():
    poses = walking_poses(2_000, np.random.default_rng(1))
    assert (poses[:, [4, 5], 0] > np.deg2rad(-10)).all()
    assert (poses[:, 18, 1] < 0).all()
    assert (poses[:, 19, 1] > 0).all()


def test_the_same_seed_gives_the_same_poses():
    one, two = (walking_poses(3, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
