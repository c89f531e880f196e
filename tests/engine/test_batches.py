import numpy as np
import pytest
import torch

from reid_gen.data.images import UnreadableImage
from reid_gen.data.loaders import DecodedBatch
from reid_gen.data.sidecar import Brought, Pictures
from reid_gen.data.transforms import Augmentation
from reid_gen.engine.batches import prepare
from reid_gen.errors import UserError


def decoded(seed=0, brought=None):
    pixels = np.random.default_rng(seed).integers(1, 256, (5, 12, 8, 3), dtype=np.uint8)
    return DecodedBatch(np.arange(5) + 10, pixels, (), brought)


def bring(batch, places):
    """The images themselves, so that whatever moves can be compared."""
    values = batch.pixels[places].astype(np.float32) / 255
    return Brought(np.array(places), {"copy": Pictures(values, 0.0)})


def test_what_was_brought_moves_as_its_images_do_and_nothing_of_it_is_erased():
    plain = decoded()
    batch = decoded(brought=bring(plain, [3, 0]))
    changes = Augmentation(flip=0.5, pad=3, erase=1.0, fill=(1, 0, 1))
    found = prepare(batch, changes, np.random.default_rng(1), torch.device("cpu"))
    assert found.index.tolist() == [10, 11, 12, 13, 14]
    assert found.sources.places.tolist() == [3, 0]
    torch.testing.assert_close(found.sources.pictures["copy"], found.sources.images)
    erased = (found.images[[3, 0]] != found.sources.images).any(1)
    share = erased.float().mean((1, 2))
    assert ((share > 0) & (share < 0.5)).all()


def test_outside_a_moved_picture_lies_its_margin():
    batch = decoded()
    values = np.zeros((1, 12, 8, 1), np.float32)
    brought = Brought(np.array([2]), {"map": Pictures(values, 1.0)})
    changes = Augmentation(flip=0, pad=4, erase=0, fill=(0, 0, 0))
    rng = np.random.default_rng(3)
    found = prepare(decoded(brought=brought), changes, rng, torch.device("cpu"))
    black = (found.sources.images == 0).all(1, keepdim=True)
    assert black.any()
    assert torch.equal(found.sources.pictures["map"] == 1, black)
    assert len(batch.pixels) == 5


def test_a_batch_for_which_nothing_was_brought_has_no_sources():
    changes = Augmentation(flip=0, pad=0, erase=0, fill=(0, 0, 0))
    nothing = Brought(np.zeros(0, np.int64), {})
    for brought in (None, nothing):
        found = prepare(decoded(brought=brought), changes, np.random.default_rng(0), "cpu")
        assert found.sources is None


def test_an_image_that_does_not_decode_stops_the_batch():
    from pathlib import Path

    broken = DecodedBatch(
        np.arange(1), np.zeros((1, 4, 4, 3), np.uint8), (UnreadableImage(Path("a.jpg"), "cut"),)
    )
    changes = Augmentation(flip=0, pad=0, erase=0, fill=(0, 0, 0))
    with pytest.raises(UserError, match=r"1 image\(s\) do not decode: a.jpg"):
        prepare(broken, changes, np.random.default_rng(0), torch.device("cpu"))
