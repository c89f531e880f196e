import os

import numpy as np
import pytest

from reid_gen.data.features import read_features
from reid_gen.data.find_images import find_images
from reid_gen.engine.extract import FeatureTable, save_features
from tests.data.real_format import draw_person


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_save_features_takes_names_that_are_no_text(tmp_path, ending):
    draw_person(tmp_path / os.fsdecode("人.jpg".encode("gbk")), 1, 0, 0)
    images = find_images([str(tmp_path)])
    save_features(FeatureTable(images, np.ones((1, 4), np.float32), ()), tmp_path / f"a.{ending}")
    assert read_features(tmp_path / f"a.{ending}").keys.tolist() == [r"\xc8\xcb.jpg"]
