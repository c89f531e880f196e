"""Exact error messages for invalid data sets, manifests and archives."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reid_gen.data.datasets import load_dataset
from reid_gen.data.prepare import prepare
from reid_gen.errors import UserError
from tests.data.real_format import draw_person, make_duke, make_market, make_msmt17

MARKET = "Market-1501-v15.09.15"
MARKET_NAME = "0002_c1s1_000451_03.jpg"
WAY_OUT = "rename or remove them, or list the images in a CSV manifest (data set folder)"
MSMT17_NAME = "0000_000_01_0303morning_0015_0.jpg"


def error_message(action: Callable[[], object]) -> str:
    with pytest.raises(UserError) as error:
        action()
    return str(error.value)


def loading_error(name: str, root: Path) -> str:
    return error_message(lambda: load_dataset(name, root))


def test_load_dataset_message_for_an_unknown_data_set(tmp_path: Path) -> None:
    known = "known: market1501, dukemtmcreid, msmt17, pedestrians, folder"
    assert loading_error("market", tmp_path) == (
        f"unknown data set 'market'; {known}; did you mean market1501?"
    )
    assert loading_error("veri", tmp_path) == f"unknown data set 'veri'; {known}"


def test_load_dataset_message_for_a_missing_root(tmp_path: Path) -> None:
    assert loading_error("msmt17", tmp_path / "no") == (
        f"the root {tmp_path}/no of msmt17 does not exist; check data.root or --root"
    )


def test_load_dataset_message_for_a_root_without_data_set(tmp_path: Path) -> None:
    assert loading_error("market1501", tmp_path) == (
        f"no Market-1501 under {tmp_path}: none of these holds bounding_box_train or query or "
        "bounding_box_test: "
        f"{tmp_path}/market1501/{MARKET}, {tmp_path}/{MARKET}, {tmp_path}/market1501, {tmp_path}; "
        "give the folder that holds the data set as data.root or --root"
    )
    assert loading_error("msmt17", tmp_path).startswith(
        f"no MSMT17 under {tmp_path}: none of these holds list_train.txt or bounding_box_train "
        "or query or bounding_box_test: "
        f"{tmp_path}/msmt17/MSMT17_V1, {tmp_path}/msmt17/MSMT17_V2, "
    )


def test_load_dataset_message_for_a_missing_split(tmp_path: Path) -> None:
    query = make_duke(tmp_path) / "DukeMTMC-reID" / "query"
    shutil.rmtree(query)
    assert loading_error("dukemtmcreid", tmp_path) == (
        f"DukeMTMC-reID: {query} is missing or holds no images; unpack the whole archive again"
    )


def test_load_dataset_message_for_an_empty_split(tmp_path: Path) -> None:
    query = make_market(tmp_path, people=1, shots=2) / MARKET / "query"
    for path in query.glob("*.jpg"):
        path.unlink()
    assert loading_error("market1501", tmp_path) == (
        f"Market-1501: {query} is missing or holds no images; unpack the whole archive again"
    )


@pytest.mark.parametrize(
    "name",
    [
        "person7.jpg",
        "c1_0002.jpg",
        "0002_c0s1_000451_03.jpg",
        "x0002_c1s1_000451_03.jpg",
    ],
)
def test_load_dataset_message_for_an_invalid_file_name(tmp_path: Path, name: str) -> None:
    invalid = make_market(tmp_path, people=1, shots=2) / MARKET / "query" / name
    invalid.write_bytes(b"")
    assert loading_error("market1501", tmp_path) == (
        f"1 file name(s) do not look like {MARKET_NAME}: {invalid}; {WAY_OUT}"
    )


def test_load_dataset_message_counts_invalid_file_names(tmp_path: Path) -> None:
    query = make_market(tmp_path, people=1, shots=2) / MARKET / "query"
    for number in range(7):
        (query / f"crop{number}.png").write_bytes(b"")
    listed = ", ".join(f"{query}/crop{number}.png" for number in range(5))
    assert loading_error("market1501", tmp_path) == (
        f"7 file name(s) do not look like {MARKET_NAME}: {listed} and 2 more; {WAY_OUT}"
    )


def test_msmt17_message_for_missing_image_folders(tmp_path: Path) -> None:
    folder = make_msmt17(tmp_path) / "MSMT17_V1"
    shutil.rmtree(folder / "test")
    assert loading_error("msmt17", tmp_path) == (
        f"MSMT17: {folder} holds neither train and test or mask_train_v2 and mask_test_v2; "
        "unpack the whole archive again"
    )


def test_msmt17_message_for_a_missing_list(tmp_path: Path) -> None:
    file = make_msmt17(tmp_path) / "MSMT17_V1" / "list_val.txt"
    file.unlink()
    assert loading_error("msmt17", tmp_path) == (
        f"MSMT17: the list {file} is missing; unpack the whole archive again"
    )


def test_msmt17_message_for_an_invalid_list(tmp_path: Path) -> None:
    file = make_msmt17(tmp_path) / "MSMT17_V1" / "list_query.txt"
    file.write_text(f"0000/{MSMT17_NAME} 0\nwhat is this\n")
    assert loading_error("msmt17", tmp_path) == (
        f"{file}:2: 'what is this' is not a path and a number; restore the official list"
    )


def test_msmt17_message_for_a_missing_listed_image(tmp_path: Path) -> None:
    folder = make_msmt17(tmp_path) / "MSMT17_V1"
    (folder / "list_val.txt").write_text(f"0000/{MSMT17_NAME} 0\n")
    assert loading_error("msmt17", tmp_path) == (
        f"MSMT17: 1 listed image(s) are missing: {folder}/train/0000/{MSMT17_NAME}; "
        "unpack the whole archive again"
    )


def test_msmt17_message_for_an_invalid_camera(tmp_path: Path) -> None:
    folder = make_msmt17(tmp_path) / "MSMT17_V1"
    name = "0000/0000_000_16_0303morning_0015_0.jpg"
    draw_person(folder / "train" / name, 0, 0, 0)
    (folder / "list_val.txt").write_text(f"{name} 0\n")
    assert loading_error("msmt17", tmp_path) == (
        f"1 file name(s) do not look like {MSMT17_NAME}: {folder}/train/{name}; {WAY_OUT}"
    )


def test_folder_message_for_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("no image")
    assert loading_error("folder", tmp_path) == (
        f"{tmp_path} holds no images (.jpg, .jpeg, .jfif, .png, .bmp, .webp, .tif, .tiff, .gif, "
        ".ppm, .pgm, .avif); check data.root or --root"
    )
    assert loading_error("folder", tmp_path / "readme.txt") == (
        f"{tmp_path}/readme.txt is not a folder; give a folder of images or a .csv manifest"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "file,pid\na.jpg,1\n",
            ": columns are file, pid; path is needed, and only path, pid, camid, frame, split "
            "are known",
        ),
        (
            "",
            ": columns are none; path is needed, and only path, pid, camid, frame, split are known",
        ),
        (
            "path,camid\na.jpg,\nb.jpg,front\n",
            ":3: camid 'front' is not an integer from 0 up; correct it, or leave it empty if "
            "unknown",
        ),
        (
            "path,camid\n\n\na.jpg,-2\n",
            ":4: camid '-2' is not an integer from 0 up; correct it, or leave it empty if unknown",
        ),
        ("path,split\na.jpg,val\n", ":2: split 'val' is none of train, query, gallery"),
        ("path,split\na.jpg,query\n", ":2: a query image needs a pid; give it one"),
        ("path,pid\na.jpg,1,2\n", ":2: more values than columns; quote a path with a comma"),
        ("path,pid\n,1\n", ":2: the path is empty; give one or remove the line"),
        (
            "path\na.jpg\nz.jpg\n",
            " names 1 file(s) that do not exist: z.jpg; paths are relative to the manifest",
        ),
        ("path\na.jpg\na.jpg\n", " names images twice: a.jpg in train; keep one row of each"),
        ("path,pid,split\n", " has no rows; give one per image"),
        (
            "path,pid,split\na.jpg,,\nb.jpg,1,query\n",
            " has query rows but no gallery rows; give both or none",
        ),
    ],
)
def test_manifest_message_for_each_fault(tmp_path: Path, text: str, expected: str) -> None:
    for name in ("a.jpg", "b.jpg"):
        draw_person(tmp_path / name, 1, 0, 0)
    file = tmp_path / "own.csv"
    file.write_text(text, encoding="utf-8")
    assert loading_error("folder", file) == f"{file}{expected}"


def test_manifest_message_for_another_encoding(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_bytes("path\nstraße.jpg\n".encode("latin-1"))
    assert (
        loading_error("folder", file) == f"{file}:2: this is not UTF-8 text; save the file as UTF-8"
    )


def test_prepare_message_for_a_data_set_without_archive(tmp_path: Path) -> None:
    assert error_message(lambda: prepare("folder", tmp_path / "a.zip", tmp_path)) == (
        "'folder' has no archive to unpack; known: market1501, dukemtmcreid, msmt17"
    )


def test_prepare_message_for_a_missing_archive(tmp_path: Path) -> None:
    assert error_message(lambda: prepare("market1501", tmp_path / "a.zip", tmp_path)) == (
        f"the archive {tmp_path}/a.zip does not exist; check --archive"
    )


def test_prepare_message_for_a_file_that_is_not_an_archive(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"<html>sign in</html>")
    assert error_message(lambda: prepare("market1501", archive, tmp_path / "root")) == (
        f"{archive} is not a readable archive: damaged, or neither .zip nor .tar; download it again"
    )


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (
            ["../evil.txt"],
            "holds links or members that lead out of its folder: ../evil.txt; do not trust it",
        ),
        (["a/x", "b/x"], "holds 2 top folders (a, b); an official archive has one"),
    ],
)
def test_prepare_message_for_an_archive_of_another_shape(
    tmp_path: Path, members: list[str], expected: str
) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in members:
            file.writestr(name, b"x")
    actual = error_message(lambda: prepare("market1501", archive, tmp_path / "root"))
    assert actual == f"{archive} {expected}"


def test_prepare_message_for_an_existing_target(tmp_path: Path) -> None:
    source = make_market(tmp_path, people=1, shots=2)
    archive = Path(shutil.make_archive(str(tmp_path / "market"), "zip", source, MARKET))
    assert error_message(lambda: prepare("market1501", archive, tmp_path)) == (
        f"{tmp_path}/{MARKET} exists; remove it, or give another --root"
    )
