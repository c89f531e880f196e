import pytest
import torch
from torch import nn

from reid_gen.losses.adversarial import fake_loss, gradient_penalty, real_loss
from reid_gen.losses.contrast import pair_nce
from reid_gen.losses.reconstruction import mean_absolute, weighted_absolute
from tests.reference import losses as reference


@pytest.fixture(autouse=True)
def in_float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_adversarial_losses_equal_reference():
    score_maps = [torch.randn(2, 1, 4, 3), torch.randn(2, 1, 2, 2)]
    real, fake = (reference.least_squares(score_maps, target) for target in (1, 0))
    assert real_loss(score_maps).item() == pytest.approx(real, rel=1e-12)
    assert fake_loss(score_maps).item() == pytest.approx(fake, rel=1e-12)


def test_gradient_penalty_equals_central_differences():
    discriminator = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Conv2d(2, 1, 1))
    images = torch.randn(2, 3, 5, 4, requires_grad=True)
    loss = gradient_penalty([discriminator(images)], images)
    expected = reference.gradient_penalty(discriminator, images.detach())
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert discriminator[0].weight.grad.abs().sum() > 0


def test_mean_absolute_equals_reference_and_detaches_target():
    prediction = torch.randn(2, 3, 2, 2, requires_grad=True)
    target = torch.randn(2, 3, 2, 2, requires_grad=True)
    loss = mean_absolute(prediction, target)
    assert loss.item() == pytest.approx(reference.mean_absolute(prediction, target), rel=1e-12)
    loss.backward()
    assert prediction.grad is not None
    assert target.grad is None


def test_weighted_absolute_equals_reference():
    prediction, target = torch.randn(2, 3, 4, 3), torch.randn(2, 3, 4, 3)
    weight = torch.rand(2, 1, 4, 3)
    loss = weighted_absolute(prediction, target, weight)
    expected = reference.weighted_absolute(prediction, target, weight)
    assert loss.item() == pytest.approx(expected, rel=1e-10)
    uniform = weighted_absolute(prediction, target, torch.full_like(weight, 0.7))
    assert uniform.item() == pytest.approx(mean_absolute(prediction, target).item(), rel=1e-10)


def test_pair_nce_equals_reference():
    anchor, positive, memory = torch.randn(4, 6), torch.randn(4, 6), torch.randn(9, 6)
    negative = torch.rand(4, 9) > 0.5
    negative[:, 0] = True
    similarity = (anchor * positive).sum(1)
    loss = pair_nce(similarity, anchor @ memory.T, negative, temperature=0.4)
    rows = [row.nonzero().flatten().tolist() for row in negative]
    expected = reference.gcl_pair(anchor, positive, memory, rows, 0.4)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


def test_losses_of_bfloat16_images_are_float32():
    image = torch.randn(1, 3, 2, 2, dtype=torch.bfloat16)
    assert mean_absolute(image, image + 1).dtype == torch.float32
    assert real_loss([image]).dtype == torch.float32
