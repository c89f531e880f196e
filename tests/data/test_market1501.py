from __future__ import annotations

import os
from pathlib import Path

import pytest

from reid_gen.data.datasets import DATASETS, load_dataset
from tests.data.real_format import make_market

LAYOUTS = [
    "market1501/Market-1501-v15.09.15",
    "market1501",
    "Market-1501-v15.09.15",
    ".",
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_usual_layout_is_read(tmp_path: Path, layout: str) -> None:
    made = make_market(tmp_path / "made", people=2, each=3) / "Market-1501-v15.09.15"
    place = tmp_path / "root" / layout
    place.parent.mkdir(parents=True, exist_ok=True)
    made.rename(place)
    dataset = load_dataset("market1501", tmp_path / "root")
    assert dataset.root == place
    assert len(dataset.train) == 6


def test_junk_is_dropped_and_distractors_stay(tmp_path: Path) -> None:
    gallery = load_dataset("market1501", make_market(tmp_path)).gallery
    assert gallery is not None
    assert len(gallery.images) == 8 * 6 + 3
    assert sorted(set(gallery.pids.tolist())) == [0, *range(1, 17, 2)]


def test_a_name_gives_pid_camera_from_zero_and_frame(tmp_path: Path) -> None:
    dataset = load_dataset("market1501", make_market(tmp_path))
    image = dataset.train[1]
    assert image.key == "bounding_box_train/0002_c1s1_000076_01.jpg"
    assert (image.camid, image.frame) == (0, 76)
    assert image.path.is_file()
    assert dataset.train_pids is not None
    assert dataset.train_pids[:7].tolist() == [2, 2, 2, 2, 2, 2, 4]


def test_people_of_train_and_test_differ(tmp_path: Path) -> None:
    dataset = load_dataset("market1501", make_market(tmp_path))
    assert dataset.query is not None
    assert dataset.train_pids is not None
    assert not set(dataset.train_pids.tolist()) & set(dataset.query.pids.tolist())


def test_images_are_in_order_of_their_keys(tmp_path: Path) -> None:
    dataset = load_dataset("market1501", make_market(tmp_path))
    assert dataset.gallery is not None
    for images in (dataset.train, dataset.gallery.images):
        keys = [image.key for image in images]
        assert keys == sorted(keys)


def test_folders_above_never_count_as_part_of_a_name(tmp_path: Path) -> None:
    root = make_market(tmp_path / "exp-2_c1_run")
    dataset = load_dataset("market1501", root)
    assert dataset.train_pids is not None
    assert min(dataset.train_pids) == 2


@pytest.mark.skipif("REID_DATA" not in os.environ, reason="REID_DATA names no folder of data sets")
def test_real_market_has_its_official_counts() -> None:
    dataset = load_dataset("market1501", Path(os.environ["REID_DATA"]))
    official = DATASETS["market1501"].official
    query, gallery, pids = dataset.query, dataset.gallery, dataset.train_pids
    assert query is not None
    assert gallery is not None
    assert pids is not None
    found = {"train": pids, "query": query.pids, "gallery": gallery.pids}
    for split, counts in official.items():
        assert len(found[split]) == counts.images
        assert len(set(found[split].tolist()) - {0}) == counts.pids
    assert int((gallery.pids == 0).sum()) == 2_798
    for images in (dataset.train, query.images, gallery.images):
        assert {image.camid for image in images} == set(range(6))
