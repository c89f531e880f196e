import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reid_gen.data.loaders import ImageLoader
from reid_gen.evaluation.evaluator import Evaluator
from reid_gen.evaluation.features import extract_features
from reid_gen.runtime.progress import Silent
from reid_gen.runtime.transfer import to_unit_range
from reid_gen.types import Image, LabelledSplit
from tests.data.real_format import draw_person


@pytest.fixture
def loader(tmp_path):
    for n in range(5):
        draw_person(tmp_path / f"{n}.jpg", n, 0, n)
    return ImageLoader([Image(f"{n}", tmp_path / f"{n}.jpg") for n in range(5)], 16, 8, 2)


def encode(images):
    """Encode an image as its first pixels, so that its mirrored copy has another feature."""
    images = to_unit_range(images)
    return F.normalize(images[:, :, 5, :3].flatten(1), dim=1)


def load_images(loader):
    (batch,) = loader.in_order(5)
    return torch.from_numpy(batch.pixels.copy()).permute(0, 3, 1, 2) / 255


def test_extract_features_keeps_order_and_the_last_batch(loader):
    counts = []
    extracted = extract_features(encode, loader, batch=2, advance=counts.append)
    np.testing.assert_allclose(extracted.complete(), encode(load_images(loader)), atol=1e-6)
    assert counts == [2, 2, 1]


def test_extract_features_averages_with_the_mirrored_image(loader):
    images = load_images(loader)
    expected = F.normalize(encode(images) + encode(images.flip(3)), dim=1)
    actual = extract_features(encode, loader, batch=2, flip=True).complete()
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert not np.allclose(actual, encode(images), atol=1e-3)


@pytest.mark.parametrize("flip", [False, True])
def test_evaluator_flips_query_and_gallery_if_set(loader, flip):
    split = LabelledSplit(tuple(loader.images), np.zeros(5, np.int64))
    evaluator = Evaluator(split, split, lambda _: loader, 2, flip, False, Silent())
    expected = extract_features(encode, loader, batch=5, flip=flip).complete()
    for actual in evaluator.features(encode):
        np.testing.assert_allclose(actual, expected, atol=1e-6)
