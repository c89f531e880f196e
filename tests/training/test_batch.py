import numpy as np
import pytest
import torch

from reid_gen.data.images import UnreadableImage
from reid_gen.data.loaders import ConditionInputs, DecodedBatch
from reid_gen.data.transforms import Augmentation, to_images
from reid_gen.errors import UserError
from reid_gen.training.batch import prepare


def decoded(seed=0, condition_inputs=None):
    pixels = np.random.default_rng(seed).integers(1, 256, (5, 12, 8, 3), dtype=np.uint8)
    return DecodedBatch(np.arange(5) + 10, pixels, (), condition_inputs)


def make_conditions(batch, batch_index):
    """The images themselves, so that what happens to them can be compared."""
    return ConditionInputs(
        np.array(batch_index), {"copy": batch.pixels[batch_index].astype(np.float32) / 255}
    )


def test_what_was_brought_is_mirrored_as_its_images_are_and_nothing_of_it_moved_or_erased():
    plain = decoded()
    batch = decoded(condition_inputs=make_conditions(plain, [3, 0, 2, 1]))
    changes = Augmentation(flip=0.5, pad=3, erase=1.0, fill=(1, 0, 1))
    found = prepare(batch, changes, np.random.default_rng(1), torch.device("cpu"))
    assert found.index.tolist() == [10, 11, 12, 13, 14]
    sources = found.sources
    assert sources.batch_index.tolist() == [3, 0, 2, 1]
    assert not sources.unaugmented
    torch.testing.assert_close(sources.conditions["copy"], sources.images)
    original = to_images(plain.pixels[[3, 0, 2, 1]])
    kept = [torch.equal(a, b) for a, b in zip(sources.images, original, strict=True)]
    turned = [torch.equal(a, b.flip(2)) for a, b in zip(sources.images, original, strict=True)]
    assert [a != b for a, b in zip(kept, turned, strict=True)] == [True] * 4
    assert any(kept)
    assert any(turned)


def test_images_that_are_mirrored_at_most_are_those_of_the_batch():
    batch = decoded(condition_inputs=make_conditions(decoded(), [4, 1]))
    changes = Augmentation(flip=0.5, pad=0, erase=0, fill=(0, 0, 0))
    found = prepare(batch, changes, np.random.default_rng(3), torch.device("cpu"))
    assert found.sources.unaugmented
    assert torch.equal(found.sources.images, found.images[[4, 1]])


def test_a_batch_for_which_nothing_was_brought_has_no_sources():
    changes = Augmentation(flip=0, pad=0, erase=0, fill=(0, 0, 0))
    nothing = ConditionInputs(np.zeros(0, np.int64), {})
    one_alone = make_conditions(decoded(), [2])  # has no batch statistics
    for condition_inputs in (None, nothing, one_alone):
        found = prepare(
            decoded(condition_inputs=condition_inputs), changes, np.random.default_rng(0), "cpu"
        )
        assert found.sources is None


def test_prepare_makes_whole_weak_views_mirrored_the_other_way():
    changes = Augmentation(flip=0.5, pad=3, erase=1.0, fill=(1, 0, 1))
    generator = np.random.default_rng(1)
    found = prepare(decoded(), changes, generator, torch.device("cpu"), weak=True)
    mirrored = changes.sample(5, 12, 8, np.random.default_rng(1)).flipped
    assert 0 < mirrored.sum() < 5
    whole = to_images(decoded().pixels)
    for own, image, first in zip(found.weak, whole, mirrored, strict=True):
        assert torch.equal(own, image if first else image.flip(2))
    assert prepare(decoded(), changes, generator, torch.device("cpu")).weak is None


def test_an_image_that_does_not_decode_stops_the_batch():
    from pathlib import Path

    broken = DecodedBatch(
        np.arange(1), np.zeros((1, 4, 4, 3), np.uint8), (UnreadableImage(Path("a.jpg"), "cut"),)
    )
    changes = Augmentation(flip=0, pad=0, erase=0, fill=(0, 0, 0))
    with pytest.raises(UserError, match=r"1 image\(s\) do not decode: a.jpg"):
        prepare(broken, changes, np.random.default_rng(0), torch.device("cpu"))
