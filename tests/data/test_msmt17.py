from __future__ import annotations

from pathlib import Path

import pytest

from reid_gen.data.datasets import load_dataset
from tests.data.real_format import draw_person, make_msmt17

DATASET_FOLDERS = [
    "msmt17/MSMT17_V1",
    "MSMT17_V1",
    "MSMT17",
    "msmt17",
    ".",
]


@pytest.mark.parametrize("layout", DATASET_FOLDERS)
def test_msmt17_read_finds_version_1_in_every_layout(tmp_path: Path, layout: str) -> None:
    source = make_msmt17(tmp_path / "source") / "MSMT17_V1"
    target = tmp_path / "root" / layout
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    dataset = load_dataset("msmt17", tmp_path / "root")
    assert dataset.root == target
    assert dataset.notes[0] == "MSMT17 V1"


@pytest.mark.parametrize("layout", ["msmt17", "."])
def test_msmt17_read_finds_and_names_version_2(tmp_path: Path, layout: str) -> None:
    make_msmt17(tmp_path / layout, version="V2")
    dataset = load_dataset("msmt17", tmp_path)
    assert dataset.notes[0] == "MSMT17 V2"
    assert dataset.train[0].key.startswith("mask_train_v2/0000/0000_")


def test_msmt17_read_trains_on_train_and_val(tmp_path: Path) -> None:
    dataset = load_dataset("msmt17", make_msmt17(tmp_path))
    assert len(dataset.train) == 8
    assert "training split: train and val together" in dataset.notes


def test_msmt17_read_keeps_pids_from_zero_in_both_halves(tmp_path: Path) -> None:
    dataset = load_dataset("msmt17", make_msmt17(tmp_path))
    assert dataset.query is not None
    assert dataset.train_pids is not None
    assert dataset.query.pids.tolist() == [0, 1, 2, 3]
    assert sorted(set(dataset.train_pids.tolist())) == [0, 1, 2, 3]


def test_msmt17_read_counts_cameras_from_0_without_frames(tmp_path: Path) -> None:
    dataset = load_dataset("msmt17", make_msmt17(tmp_path, people=1, shots=15))
    assert sorted(image.camid for image in dataset.train if image.camid is not None) == [*range(15)]
    assert {image.frame for image in dataset.train} == {None}


def test_msmt17_read_accepts_the_layout_of_market1501(tmp_path: Path) -> None:
    folder = tmp_path / "msmt17" / "MSMT17_V1"
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        draw_person(folder / split / "0007_c14_0030.jpg", 7, 13, 0)
    dataset = load_dataset("msmt17", tmp_path)
    assert dataset.train[0].camid == 13
    assert dataset.train_pids is not None
    assert dataset.train_pids.tolist() == [7]
    assert dataset.notes[0].startswith("MSMT17 version unknown")
