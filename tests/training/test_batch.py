"""Training batches: augmentation of images, and of the condition inputs of their views."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reid_gen.data.images import UnreadableImage
from reid_gen.data.loaders import ConditionInputs, DecodedBatch
from reid_gen.data.transforms import Augmentation, to_images
from reid_gen.errors import UserError
from reid_gen.training.batch import prepare

CPU = torch.device("cpu")
NO_AUGMENTATION = Augmentation(flip=0, pad=0, erase=0, fill=(0, 0, 0))


def decoded_batch(condition_inputs=None):
    pixels = np.random.default_rng(0).integers(1, 256, (5, 12, 8, 3), dtype=np.uint8)
    return DecodedBatch(np.arange(5) + 10, pixels, (), condition_inputs)


def copies_as_conditions(batch, batch_index):
    """Copies of the images as condition maps, so that tests can compare both."""
    return ConditionInputs(
        np.array(batch_index), {"copy": batch.pixels[batch_index].astype(np.float32) / 255}
    )


def test_prepare_flips_condition_maps_with_their_images():
    decoded = decoded_batch()
    batch = decoded_batch(copies_as_conditions(decoded, [3, 0, 2, 1]))
    augmentation = Augmentation(flip=0.5, pad=3, erase=1.0, fill=(1, 0, 1))
    result = prepare(batch, augmentation, np.random.default_rng(1), CPU)
    assert result.index.tolist() == [10, 11, 12, 13, 14]
    sources = result.sources
    assert sources.batch_index.tolist() == [3, 0, 2, 1]
    assert not sources.unaugmented
    torch.testing.assert_close(sources.conditions["copy"], sources.images)
    originals = to_images(decoded.pixels[[3, 0, 2, 1]])
    pairs = list(zip(sources.images, originals, strict=True))
    unflipped = [torch.equal(image, original) for image, original in pairs]
    flipped = [torch.equal(image, original.flip(2)) for image, original in pairs]
    assert [a != b for a, b in zip(unflipped, flipped, strict=True)] == [True] * 4
    assert any(unflipped)
    assert any(flipped)


def test_prepare_takes_flipped_sources_from_the_batch():
    batch = decoded_batch(copies_as_conditions(decoded_batch(), [4, 1]))
    augmentation = Augmentation(flip=0.5, pad=0, erase=0, fill=(0, 0, 0))
    result = prepare(batch, augmentation, np.random.default_rng(3), CPU)
    assert result.sources.unaugmented
    assert torch.equal(result.sources.images, result.images[[4, 1]])


def test_prepare_without_condition_inputs_has_no_sources():
    empty = ConditionInputs(np.zeros(0, np.int64), {})
    single_image = copies_as_conditions(decoded_batch(), [2])  # has no batch statistics
    for condition_inputs in (None, empty, single_image):
        batch = decoded_batch(condition_inputs)
        result = prepare(batch, NO_AUGMENTATION, np.random.default_rng(0), CPU)
        assert result.sources is None


def test_prepare_flips_weak_views_the_other_way():
    augmentation = Augmentation(flip=0.5, pad=3, erase=1.0, fill=(1, 0, 1))
    rng = np.random.default_rng(1)
    decoded = decoded_batch()
    result = prepare(decoded, augmentation, rng, CPU, weak=True)
    pixels = torch.from_numpy(decoded.pixels)
    flipped = augmentation.sample(pixels, np.random.default_rng(1)).flipped
    assert 0 < flipped.sum() < 5
    originals = to_images(pixels)
    for weak, original, is_flipped in zip(result.weak, originals, flipped, strict=True):
        assert torch.equal(weak, original if is_flipped else original.flip(2))
    assert prepare(decoded, augmentation, rng, CPU).weak is None


def test_prepare_refuses_an_image_that_does_not_decode():
    unreadable = UnreadableImage(Path("a.jpg"), "cut")
    batch = DecodedBatch(np.arange(1), np.zeros((1, 4, 4, 3), np.uint8), (unreadable,))
    with pytest.raises(UserError, match=r"1 image\(s\) do not decode: a.jpg"):
        prepare(batch, NO_AUGMENTATION, np.random.default_rng(0), CPU)
