import numpy as np
import pytest
import torch
from scipy import linalg

from reid_gen.evaluation import image_metrics
from reid_gen.evaluation.image_metrics import feature_statistics, person_psnr, ssim_and_psnr


def frechet_distance(first, second):
    return image_metrics.frechet_distance(feature_statistics(first), feature_statistics(second))


def test_frechet_distance_equals_formula_with_matrix_sqrt():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5))
    second = rng.normal(1, 2, (80, 5)) @ rng.normal(size=(5, 5))
    (m, s), (n, t) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (first, second))
    expected = ((m - n) ** 2).sum() + np.trace(s + t - 2 * linalg.sqrtm(s @ t).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_a_shift_is_its_squared_norm():
    features = np.random.default_rng(1).normal(size=(50, 4))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features, features + 3) == pytest.approx(4 * 9, rel=1e-9)


def test_frechet_distance_is_finite_for_fewer_images_than_dims():
    rng = np.random.default_rng(2)
    distance = frechet_distance(rng.normal(size=(4, 20)), rng.normal(size=(6, 20)))
    assert np.isfinite(distance)
    assert distance > 0


def test_ssim_and_psnr_average_over_images():
    torch.manual_seed(0)
    target = torch.rand(3, 3, 32, 16)
    generated = (target + 0.1 * torch.randn(3, 3, 32, 16)).clamp(0, 1)
    ssim, psnr = ssim_and_psnr(generated, target)
    errors = ((generated - target) ** 2).mean((1, 2, 3))
    assert psnr == pytest.approx((10 * torch.log10(1 / errors)).mean().item(), rel=1e-5)
    assert 0 < ssim < 1
    assert ssim_and_psnr(target, target)[0] == pytest.approx(1)


def test_person_psnr_ignores_background_pixels():
    torch.manual_seed(0)
    target, generated = torch.rand(2, 3, 3, 8, 4).double()
    person = torch.rand(3, 8, 4) > 0.5
    person[2] = False
    total = 0.0
    for n in range(2):
        error = [
            float(((generated[n, :, y, x] - target[n, :, y, x]) ** 2).mean())
            for y in range(8)
            for x in range(4)
            if person[n, y, x]
        ]
        total += 10 * np.log10(1 / np.mean(error))
    assert person_psnr(generated, target, person) == pytest.approx(total / 2)
    without_background = torch.where(person.unsqueeze(1), generated, 0.0)
    assert person_psnr(without_background, target, person) == pytest.approx(total / 2)
