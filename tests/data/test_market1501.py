from __future__ import annotations

import os
from pathlib import Path

import pytest

from reid_gen.data.datasets import DATASETS, load_dataset
from tests.data.real_format import make_market

DATASET_FOLDERS = [
    "market1501/Market-1501-v15.09.15",
    "market1501",
    "Market-1501-v15.09.15",
    ".",
]


@pytest.mark.parametrize("folder", DATASET_FOLDERS)
def test_market1501_read_finds_every_layout(tmp_path: Path, folder: str) -> None:
    source = make_market(tmp_path / "source", people=2, shots=3) / "Market-1501-v15.09.15"
    target = tmp_path / "root" / folder
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    dataset = load_dataset("market1501", tmp_path / "root")
    assert dataset.root == target
    assert len(dataset.train) == 6


def test_market1501_read_drops_junk_but_no_distractors(tmp_path: Path) -> None:
    gallery = load_dataset("market1501", make_market(tmp_path)).gallery
    assert gallery is not None
    assert len(gallery.images) == 8 * 6 + 3
    assert sorted(set(gallery.pids.tolist())) == [0, *range(1, 17, 2)]


def test_market1501_read_parses_camera_sequence_and_frame(tmp_path: Path) -> None:
    dataset = load_dataset("market1501", make_market(tmp_path))
    image = dataset.train[1]
    assert image.key == "bounding_box_train/0002_c1s1_000076_01.jpg"
    assert (image.camid, image.frame, image.recording) == (0, 76, 1)
    assert image.path.is_file()
    assert dataset.train_pids is not None
    assert dataset.train_pids[:7].tolist() == [2, 2, 2, 2, 2, 2, 4]


def test_make_market_has_different_people_in_train_and_test(tmp_path: Path) -> None:
    dataset = load_dataset("market1501", make_market(tmp_path))
    assert dataset.query is not None
    assert dataset.train_pids is not None
    assert not set(dataset.train_pids.tolist()) & set(dataset.query.pids.tolist())


def test_market1501_read_sorts_images_by_key(tmp_path: Path) -> None:
    dataset = load_dataset("market1501", make_market(tmp_path))
    assert dataset.gallery is not None
    for images in (dataset.train, dataset.gallery.images):
        keys = [image.key for image in images]
        assert keys == sorted(keys)


def test_market1501_read_ignores_names_of_parent_folders(tmp_path: Path) -> None:
    root = make_market(tmp_path / "exp-2_c1_run")
    dataset = load_dataset("market1501", root)
    assert dataset.train_pids is not None
    assert min(dataset.train_pids) == 2


@pytest.mark.skipif("REID_DATA" not in os.environ, reason="REID_DATA names no folder of data sets")
def test_market1501_read_gives_official_counts_of_real_data() -> None:
    dataset = load_dataset("market1501", Path(os.environ["REID_DATA"]))
    official = DATASETS["market1501"].official
    query, gallery, pids = dataset.query, dataset.gallery, dataset.train_pids
    assert query is not None
    assert gallery is not None
    assert pids is not None
    pids_of = {"train": pids, "query": query.pids, "gallery": gallery.pids}
    for split, counts in official.items():
        assert len(pids_of[split]) == counts.images
        assert len(set(pids_of[split].tolist()) - {0}) == counts.pids
    assert int((gallery.pids == 0).sum()) == 2_798
    for images in (dataset.train, query.images, gallery.images):
        assert {image.camid for image in images} == set(range(6))
