"""Reader of MSMT17 (Wei et al., CVPR 2018), V1 and V2 (the same images with masked faces)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reid_gen.data.readers.layout import (
    MARKET_SPLIT_FOLDERS,
    NameRule,
    ParsedName,
    Splits,
    build_dataset,
    build_split,
    find_dataset_folder,
    name_pattern,
    parse_file_names,
    read_market_splits,
)
from reid_gen.data.text_lists import read_lines
from reid_gen.errors import UserError, join_some
from reid_gen.types import Dataset, LabelledSplit

NAME: Final = "msmt17"
DATASET_FOLDERS = (
    "msmt17/MSMT17_V1",
    "msmt17/MSMT17_V2",
    "MSMT17_V1",
    "MSMT17_V2",
    "MSMT17",
    "msmt17",
    ".",
)
"""Folders below the root that may hold the splits, in order of preference."""
LIST_TRAIN = "list_train.txt"
VERSIONS = {
    "V1": ("train", "test"),
    "V2": ("mask_train_v2", "mask_test_v2"),
}
"""Version -> folder of the training images (train and val) and folder of the test images."""
MARKET_LAYOUT = f"version unknown: the copy sorted into {join_some(MARKET_SPLIT_FOLDERS)}"
TRAIN_AND_VAL = "training split: train and val together"


def read(root: Path) -> Dataset:
    """Read MSMT17; the training split is train and val together (32,621 images), as is common.

    The official layout has list files; a copy in the layout of Market-1501 can be read too. Pids
    of training and test images both start at 0 and denote different people.

    Args:
        root: Folder of the splits, or a parent of it.

    Returns:
        The data set with train, query and gallery.

    Raises:
        UserError: If a list or folder is missing, a list names a missing file, or a line or file
            name does not match.
    """
    folder = find_dataset_folder(
        root, DATASET_FOLDERS, (LIST_TRAIN, *MARKET_SPLIT_FOLDERS), "MSMT17"
    )
    if (folder / LIST_TRAIN).exists():
        version, splits = _read_lists(folder)
    else:
        version, splits = MARKET_LAYOUT, read_market_splits(folder, "MSMT17", _MARKET_RULE)
    return build_dataset(NAME, folder, splits, f"MSMT17 {version}", TRAIN_AND_VAL)


def _read_lists(folder: Path) -> tuple[str, Splits]:
    version, (train, test) = _find_version(folder)
    return version, (
        _split(folder, (LIST_TRAIN, "list_val.txt"), folder / train),
        _split(folder, ("list_query.txt",), folder / test),
        _split(folder, ("list_gallery.txt",), folder / test),
    )


def _find_version(folder: Path) -> tuple[str, tuple[str, str]]:
    for version, folders in VERSIONS.items():
        if all((folder / name).is_dir() for name in folders):
            return version, folders
    expected = " or ".join(f"{train} and {test}" for train, test in VERSIONS.values())
    raise UserError(f"MSMT17: {folder} holds neither {expected}; unpack the whole archive again")


def _split(folder: Path, lists: tuple[str, ...], images: Path) -> LabelledSplit:
    paths = [path for name in lists for path in _listed_paths(folder / name, images)]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f"MSMT17: {len(missing)} listed image(s) are missing: {join_some(missing)}; "
            "unpack the whole archive again"
        )
    return build_split(folder, parse_file_names(paths, _LIST_RULE))


def _listed_paths(file: Path, images: Path) -> Iterator[Path]:
    """Read a list file with lines such as ``0000/0000_000_01_0303morning_0015_0.jpg 0``."""
    if not file.is_file():
        raise UserError(f"MSMT17: the list {file} is missing; unpack the whole archive again")
    for number, line in enumerate(read_lines(file), start=1):
        words = line.split()
        if len(words) == 2 and words[1].isdigit():
            yield images / words[0]
        elif words:
            raise UserError(
                f"{file}:{number}: {line!r} is not a path and a number; restore the official list"
            )


def _parse(pid: str, camera: str) -> ParsedName:
    # No frame: numbers restart in each recording of a camera, so they give no temporal order.
    return int(pid), int(camera) - 1, None, 1


_LIST_RULE = NameRule(
    re.compile(r"(\d{4})_\d{3}_(0[1-9]|1[0-5])_.+\.jpg"),
    "0000_000_01_0303morning_0015_0.jpg",
    _parse,
)
_MARKET_RULE = NameRule(name_pattern(r"\d+", ""), "0000_c14_0030.jpg", _parse)
