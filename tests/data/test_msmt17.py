from __future__ import annotations

from pathlib import Path

import pytest

from reid_gen.data.datasets import load_dataset
from tests.data.real_format import draw_person, make_msmt17

LAYOUTS = [
    "msmt17/MSMT17_V1",
    "MSMT17_V1",
    "MSMT17",
    "msmt17",
    ".",
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_usual_layout_of_version_1_is_read(tmp_path: Path, layout: str) -> None:
    made = make_msmt17(tmp_path / "made") / "MSMT17_V1"
    place = tmp_path / "root" / layout
    place.parent.mkdir(parents=True, exist_ok=True)
    made.rename(place)
    dataset = load_dataset("msmt17", tmp_path / "root")
    assert dataset.root == place
    assert dataset.notes[0] == "MSMT17 V1"


@pytest.mark.parametrize("layout", ["msmt17", "."])
def test_version_2_is_read_and_named(tmp_path: Path, layout: str) -> None:
    make_msmt17(tmp_path / layout, version="V2")
    dataset = load_dataset("msmt17", tmp_path)
    assert dataset.notes[0] == "MSMT17 V2"
    assert dataset.train[0].key.startswith("mask_train_v2/0000/0000_")


def test_training_takes_train_and_val_together_and_says_so(tmp_path: Path) -> None:
    dataset = load_dataset("msmt17", make_msmt17(tmp_path))
    assert len(dataset.train) == 8
    assert "training split: train and val together" in dataset.notes


def test_pids_of_both_halves_count_from_zero(tmp_path: Path) -> None:
    dataset = load_dataset("msmt17", make_msmt17(tmp_path))
    assert dataset.query is not None
    assert dataset.train_pids is not None
    assert dataset.query.pids.tolist() == [0, 1, 2, 3]
    assert sorted(set(dataset.train_pids.tolist())) == [0, 1, 2, 3]


def test_cameras_1_to_15_become_0_to_14_and_no_frame_is_claimed(tmp_path: Path) -> None:
    dataset = load_dataset("msmt17", make_msmt17(tmp_path, people=1, each=15))
    assert sorted(image.camid for image in dataset.train if image.camid is not None) == [*range(15)]
    assert {image.frame for image in dataset.train} == {None}


def test_a_copy_in_market_layout_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "msmt17" / "MSMT17_V1"
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        draw_person(folder / split / "0007_c14_0030.jpg", 7, 13, 0)
    dataset = load_dataset("msmt17", tmp_path)
    assert dataset.train[0].camid == 13
    assert dataset.train_pids is not None
    assert dataset.train_pids.tolist() == [7]
    assert dataset.notes[0].startswith("MSMT17 version unknown")
