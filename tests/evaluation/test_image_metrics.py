import numpy as np
import pytest
import torch
from scipy import linalg

from reid_gen.evaluation import image_metrics as generation
from reid_gen.evaluation.image_metrics import feature_statistics, likeness, person_psnr


def frechet_distance(one, other):
    return generation.frechet_distance(feature_statistics(one), feature_statistics(other))


def test_the_distance_equals_its_formula_with_the_root_of_the_product():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5))
    other = rng.normal(1, 2, (80, 5)) @ rng.normal(size=(5, 5))
    (m, s), (n, t) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (one, other))
    wanted = ((m - n) ** 2).sum() + np.trace(s + t - 2 * linalg.sqrtm(s @ t).real)
    assert frechet_distance(one, other) == pytest.approx(wanted, rel=1e-9)


def test_a_set_is_no_distance_from_itself_and_a_shift_counts_squared():
    features = np.random.default_rng(1).normal(size=(50, 4))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features, features + 3) == pytest.approx(4 * 9, rel=1e-9)


def test_fewer_images_than_features_give_no_nan():
    rng = np.random.default_rng(2)
    found = frechet_distance(rng.normal(size=(4, 20)), rng.normal(size=(6, 20)))
    assert np.isfinite(found)
    assert found > 0


def test_psnr_is_that_of_the_mean_over_images_and_ssim_of_equal_images_is_one():
    torch.manual_seed(0)
    wanted = torch.rand(3, 3, 32, 16)
    found = (wanted + 0.1 * torch.randn(3, 3, 32, 16)).clamp(0, 1)
    ssim, psnr = likeness(found, wanted)
    errors = ((found - wanted) ** 2).mean((1, 2, 3))
    assert psnr == pytest.approx((10 * torch.log10(1 / errors)).mean().item(), rel=1e-5)
    assert 0 < ssim < 1
    assert likeness(wanted, wanted)[0] == pytest.approx(1)


def test_psnr_of_people_is_blind_to_backgrounds_pixel_by_pixel():
    torch.manual_seed(0)
    wanted, found = torch.rand(2, 3, 3, 8, 4).double()
    person = torch.rand(3, 8, 4) > 0.5
    person[2] = False
    total = 0.0
    for n in range(2):
        error = [
            float(((found[n, :, y, x] - wanted[n, :, y, x]) ** 2).mean())
            for y in range(8)
            for x in range(4)
            if person[n, y, x]
        ]
        total += 10 * np.log10(1 / np.mean(error))
    assert person_psnr(found, wanted, person) == pytest.approx(total / 2)
    moved = torch.where(person.unsqueeze(1), found, 0.0)
    assert person_psnr(moved, wanted, person) == pytest.approx(total / 2)
