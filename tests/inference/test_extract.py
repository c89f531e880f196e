import os
from types import SimpleNamespace

import numpy as np
import pytest

from reid_gen.data.feature_files import read_features
from reid_gen.data.find_images import find_images
from reid_gen.data.images import decode
from reid_gen.errors import UserError
from reid_gen.inference.extract import FeatureTable, extract, save_features
from reid_gen.runtime.progress import Silent
from reid_gen.runtime.transfer import to_unit_range
from tests.data.real_format import draw_person

OPTIONS = {"batch": 2, "workers": 2, "flip": False, "progress": Silent()}
CARD = SimpleNamespace(height=16, width=8)


def encode(images):
    return to_unit_range(images).flatten(1)


@pytest.fixture
def images(tmp_path):
    for n in range(5):
        draw_person(tmp_path / f"{n}.png", n, 0, 0)
    (tmp_path / "1.png").write_bytes(b"no image")
    return find_images([str(tmp_path)])


def test_extract_skips_unreadable_images(images):
    table = extract(encode, CARD, images, skip_unreadable=True, **OPTIONS)
    assert [image.key for image in table.images] == ["0.png", "2.png", "3.png", "4.png"]
    assert table.unreadable == (images[1].path,)
    for image, feature in zip(table.images, table.features, strict=True):
        pixels = np.moveaxis(decode(image.path, 16, 8), 2, 0).ravel() / 255
        np.testing.assert_allclose(feature, pixels, atol=1e-6)


def test_extract_refuses_images_that_do_not_decode(images):
    with pytest.raises(UserError, match=r"1 image\(s\) do not decode: 1.png"):
        extract(encode, CARD, images, skip_unreadable=False, **OPTIONS)
    with pytest.raises(UserError, match="do not decode"):
        extract(encode, CARD, images[1:2], skip_unreadable=True, **OPTIONS)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_save_features_escapes_undecodable_file_names(tmp_path, suffix):
    draw_person(tmp_path / os.fsdecode("人.jpg".encode("gbk")), 1, 0, 0)
    images = find_images([str(tmp_path)])
    save_features(FeatureTable(images, np.ones((1, 4), np.float32), ()), tmp_path / f"a.{suffix}")
    assert read_features(tmp_path / f"a.{suffix}").keys.tolist() == [r"\xc8\xcb.jpg"]
