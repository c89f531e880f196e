import os

import numpy as np
import pytest

from reid_gen.builders import loaders as builder
from reid_gen.config.schema import Data
from reid_gen.data import pixel_cache
from reid_gen.data.images import UnreadableImage, decode
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.pixel_cache import PixelCache
from reid_gen.types import Image
from tests.data.real_format import draw_person

BYTES = 16 * 8 * 3
"""Size of a decoded image of the tests."""


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / f"{n}.jpg" for n in range(3)]
    for number, path in enumerate(paths):
        draw_person(path, number, 0, number)
    return paths


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded, in order."""
    names = []

    def record(path, height, width):
        names.append(path.name)
        return decode(path, height, width)

    monkeypatch.setattr(pixel_cache, "decode", record)
    return names


def test_pixel_cache_decodes_a_file_once(paths, decoded):
    cache = PixelCache(16, 8, max_bytes=3 * BYTES)
    for _ in range(3):
        for path in paths:
            np.testing.assert_array_equal(cache.read(path), decode(path, 16, 8))
    assert decoded == ["0.jpg", "1.jpg", "2.jpg"]
    assert cache.bytes == 3 * BYTES


def test_pixel_cache_keeps_at_most_its_size(paths, decoded):
    cache = PixelCache(16, 8, max_bytes=2 * BYTES)
    for path in paths * 2:
        np.testing.assert_array_equal(cache.read(path), decode(path, 16, 8))
    assert decoded == ["0.jpg", "1.jpg", "2.jpg", "2.jpg"]
    assert cache.bytes == 2 * BYTES


def test_pixel_cache_decodes_a_changed_file_again(paths, decoded):
    cache = PixelCache(16, 8, max_bytes=9 * BYTES)
    before = cache.read(paths[0])
    draw_person(paths[0], 7, 0, 7)
    status = paths[0].stat()
    os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    after = cache.read(paths[0])
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, decode(paths[0], 16, 8))
    assert cache.bytes == BYTES


def test_pixel_cache_reports_a_file_that_disappears(paths):
    cache = PixelCache(16, 8, max_bytes=9 * BYTES)
    cache.read(paths[0])
    paths[0].unlink()
    with pytest.raises(UnreadableImage, match=r"0\.jpg does not decode"):
        cache.read(paths[0])


def test_image_loaders_share_a_cache(paths, decoded):
    images = [Image(path.name, path) for path in paths]
    cache = PixelCache(16, 8, max_bytes=9 * BYTES)
    loader = ImageLoader(images, 16, 8, workers=2, cache=cache)
    (first,) = loader.in_order(3)
    (second,) = ImageLoader(images[1:], 16, 8, workers=1, cache=cache).in_order(2)
    (third,) = loader.subset(np.array([2, 0])).in_order(2)
    assert sorted(decoded) == ["0.jpg", "1.jpg", "2.jpg"]
    np.testing.assert_array_equal(second.pixels, first.pixels[1:])
    np.testing.assert_array_equal(third.pixels, first.pixels[[2, 0]])


@pytest.mark.parametrize(
    ("size", "processes", "expected"),
    [("auto", "1", 500), ("auto", "4", 125), (2.0, "1", 2**31), (2.0, "2", 2**30)],
)
def test_cached_loaders_share_the_memory_over_processes(monkeypatch, size, processes, expected):
    memory = type("Memory", (), {"available": 1000})
    monkeypatch.setattr(builder.psutil, "virtual_memory", lambda: memory)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    data = Data(name="folder", root="crops", cache=size)
    assert builder.cached_loaders(data)([]).cache.max_bytes == expected


def test_cached_loaders_without_a_cache_decode_at_every_request():
    data = Data(name="folder", root="crops", cache=None)
    assert builder.cached_loaders(data)([]).cache is None
