import numpy as np
import pytest
import torch

from reid_gen.evaluation.view_checks import mask_iou, min_difference


def test_mask_iou_is_intersection_over_union():
    actual = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    expected = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]], bool)
    np.testing.assert_allclose(mask_iou(actual, expected), [1 / 3, 1, 0])


def test_min_difference_of_copies_and_mirrored_copies_is_0():
    torch.manual_seed(0)
    image, other = torch.rand(2, 3, 64, 32)
    views = torch.stack([image, image.flip(2), other, other, other.flip(2)])[None]
    difference = min_difference(image[None], views)[0]
    assert difference[[0, 1, 3, 4]] == pytest.approx(0, abs=1e-6)
    assert difference[2] > 0.05


def test_min_difference_of_black_and_white_is_1():
    black, white = torch.zeros(1, 3, 64, 32), torch.ones(1, 1, 3, 64, 32)
    assert min_difference(black, white).item() == pytest.approx(1)
