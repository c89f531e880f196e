import numpy as np
import pytest
import torch

from reid_gen.evaluation.view_checks import min_difference, overlap


def test_overlap_is_intersection_over_union():
    found = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    wanted = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]], bool)
    np.testing.assert_allclose(overlap(found, wanted), [1 / 3, 1, 0])


def test_copies_of_the_image_of_its_mirror_image_or_of_another_view_have_no_difference():
    torch.manual_seed(0)
    image, other = torch.rand(2, 3, 64, 32)
    views = torch.stack([image, image.flip(2), other, other, other.flip(2)])[None]
    found = min_difference(image[None], views)[0]
    assert found[[0, 1, 3, 4]] == pytest.approx(0, abs=1e-6)
    assert found[2] > 0.05


def test_difference_is_in_parts_of_the_whole_range():
    black, white = torch.zeros(1, 3, 64, 32), torch.ones(1, 1, 3, 64, 32)
    assert min_difference(black, white).item() == pytest.approx(1)
