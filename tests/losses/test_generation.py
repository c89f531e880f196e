import pytest
import torch
from torch import nn

from reid_gen.losses.adversarial import fake_loss, gradient_penalty, real_loss
from reid_gen.losses.contrast import pair_nce
from reid_gen.losses.reconstruction import mean_absolute, weighted_absolute
from tests.reference import losses as slow


@pytest.fixture(autouse=True)
def in_float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_adversarial_terms_equal_loops_over_scales_and_places():
    maps = [torch.randn(2, 1, 4, 3), torch.randn(2, 1, 2, 2)]
    assert real_loss(maps).item() == pytest.approx(slow.least_squares(maps, 1), rel=1e-12)
    assert fake_loss(maps).item() == pytest.approx(slow.least_squares(maps, 0), rel=1e-12)


def test_the_penalty_equals_central_differences_and_reaches_the_weights():
    judge = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Conv2d(2, 1, 1))
    pictures = torch.randn(2, 3, 5, 4, requires_grad=True)
    found = gradient_penalty([judge(pictures)], pictures)
    assert found.item() == pytest.approx(slow.penalty(judge, pictures.detach()), rel=1e-6)
    found.backward()
    assert judge[0].weight.grad.abs().sum() > 0


def test_reconstruction_equals_its_loop_and_pulls_only_what_was_found():
    found = torch.randn(2, 3, 2, 2, requires_grad=True)
    wanted = torch.randn(2, 3, 2, 2, requires_grad=True)
    loss = mean_absolute(found, wanted)
    assert loss.item() == pytest.approx(slow.mean_absolute(found, wanted), rel=1e-12)
    loss.backward()
    assert found.grad is not None
    assert wanted.grad is None


def test_pixels_count_by_their_weights():
    found, wanted, weight = torch.randn(2, 3, 4, 3), torch.randn(2, 3, 4, 3), torch.rand(2, 1, 4, 3)
    loss = weighted_absolute(found, wanted, weight)
    assert loss.item() == pytest.approx(slow.weighted_absolute(found, wanted, weight), rel=1e-10)
    alike = weighted_absolute(found, wanted, torch.full_like(weight, 0.7))
    assert alike.item() == pytest.approx(mean_absolute(found, wanted).item(), rel=1e-10)


def test_a_pair_term_equals_its_loop_over_negatives():
    anchor, positive, memory = torch.randn(4, 6), torch.randn(4, 6), torch.randn(9, 6)
    negative = torch.rand(4, 9) > 0.5
    negative[:, 0] = True
    similarity = (anchor * positive).sum(1)
    found = pair_nce(similarity, anchor @ memory.T, negative, temperature=0.4)
    chosen = [row.nonzero().flatten().tolist() for row in negative]
    wanted = slow.gcl_pair(anchor, positive, memory, chosen, 0.4)
    assert found.item() == pytest.approx(wanted, rel=1e-10)


def test_losses_of_low_precision_pictures_are_float32():
    picture = torch.randn(1, 3, 2, 2, dtype=torch.bfloat16)
    assert mean_absolute(picture, picture + 1).dtype == torch.float32
    assert real_loss([picture]).dtype == torch.float32
