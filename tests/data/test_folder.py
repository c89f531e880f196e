from __future__ import annotations

from pathlib import Path

import pytest

from reid_gen.data.datasets import load_dataset
from reid_gen.errors import UserError
from tests.data.real_format import draw_person, make_folder


def write_manifest(root: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write a manifest beside three crops, a.jpg, b.jpg and c.jpg."""
    for shot, name in enumerate("abc"):
        draw_person(root / f"{name}.jpg", shot, 0, shot)
    file = root / "own.csv"
    file.write_text(text, encoding=encoding)
    return file


def test_folder_read_takes_all_images_for_training(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    (root / "readme.txt").write_text("no image")
    dataset = load_dataset("folder", root)
    keys = [image.key for image in dataset.train]
    assert len(keys) == 12
    assert keys == sorted(keys)
    assert keys[-1] == "day1/crop_3_1.png"
    assert {image.camid for image in dataset.train} == {None}
    assert (dataset.train_pids, dataset.query, dataset.gallery) == (None, None, None)


def test_folder_read_skips_folders_named_like_images(tmp_path: Path) -> None:
    (make_folder(tmp_path) / "album.jpg").mkdir()
    assert len(load_dataset("folder", tmp_path).train) == 12


def test_folder_read_sorts_keys_as_text(tmp_path: Path) -> None:
    for name in ("a/z.jpg", "a-b.jpg", "a.jpg"):
        draw_person(tmp_path / name, 1, 0, 0)
    keys = [image.key for image in load_dataset("folder", tmp_path).train]
    assert keys == ["a-b.jpg", "a.jpg", "a/z.jpg"]


def test_manifest_gives_splits_pids_cameras_and_frames(tmp_path: Path) -> None:
    file = write_manifest(
        tmp_path,
        "path,pid,camid,frame,split\nb.jpg,,2,,\na.jpg,4,0,17,query\nc.jpg,4,1,,gallery\n",
    )
    dataset = load_dataset("folder", file)
    (train,) = dataset.train
    assert (train.key, train.camid, train.frame) == ("b.jpg", 2, None)
    assert dataset.train_pids is None
    assert dataset.query is not None
    assert dataset.gallery is not None
    assert (dataset.query.images[0].frame, dataset.query.pids.tolist()) == (17, [4])
    assert dataset.gallery.camids.tolist() == [1]


def test_manifest_with_paths_only_is_unlabelled(tmp_path: Path) -> None:
    dataset = load_dataset("folder", write_manifest(tmp_path, "path\nc.jpg\na.jpg\n"))
    assert [image.key for image in dataset.train] == ["a.jpg", "c.jpg"]
    assert dataset.query is None


def test_manifest_keeps_training_pids_if_all_are_known(tmp_path: Path) -> None:
    dataset = load_dataset("folder", write_manifest(tmp_path, "path,pid\nc.jpg,5\na.jpg,2\n"))
    assert dataset.train_pids is not None
    assert dataset.train_pids.tolist() == [2, 5]


def test_manifest_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    file = write_manifest(tmp_path, "path,camid\r\na.jpg,1\r\n", encoding="utf-8-sig")
    assert load_dataset("folder", file).train[0].camid == 1


def test_manifest_accepts_junk_and_unknown_cameras(tmp_path: Path) -> None:
    file = write_manifest(
        tmp_path, "path,pid,camid,split\nb.jpg,-1,-1,gallery\na.jpg,4.0,nan,query\nc.jpg,4,1,\n"
    )
    dataset = load_dataset("folder", file)
    assert dataset.gallery.pids.tolist() == [-1]
    assert dataset.gallery.images[0].camid is dataset.query.images[0].camid is None
    assert dataset.query.pids.tolist() == [4]
    assert dataset.notes == ("gallery: 1 junk images (pid -1) are ignored",)


def test_manifest_drops_training_pids_if_one_is_unknown(tmp_path: Path) -> None:
    file = write_manifest(tmp_path, "path,pid\na.jpg,-1\nb.jpg,3\nc.jpg,3\n")
    assert load_dataset("folder", file).train_pids is None


@pytest.mark.parametrize("value", ["0.5", "anna", "9" * 30, "-2", "1_0"])
@pytest.mark.parametrize("column", ["pid", "camid", "frame"])
def test_manifest_rejects_invalid_numbers_by_line(value, column, tmp_path: Path) -> None:
    file = write_manifest(tmp_path, f"path,{column}\na.jpg,1\nb.jpg,{value}\n")
    with pytest.raises(UserError, match=f":3: {column} '{value}' is not an integer from 0 up"):
        load_dataset("folder", file)
