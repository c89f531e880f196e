"""MSMT17 (Wei et al., CVPR 2018), V1 and V2 (the same images with blurred faces)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from reid_gen.data.records import Parsed, first_folder, labelled, parse_names
from reid_gen.errors import UserError, name_some
from reid_gen.types import Dataset, LabelledSplit

NAME = "msmt17"
LAYOUTS = (
    "msmt17/MSMT17_V1",
    "msmt17/MSMT17_V2",
    "MSMT17_V1",
    "MSMT17_V2",
    "MSMT17",
    "msmt17",
    ".",
)
VERSIONS = {
    "V1": ("train", "test"),
    "V2": ("mask_train_v2", "mask_test_v2"),
}
"""Version -> folders of the training images (train and val) and the test images."""
_PATTERN = re.compile(r"(\d{4})_(\d{3})_(\d{2})_(.+)\.jpg")


def read(root: Path) -> Dataset:
    """Read MSMT17; the training split is train and val together (32,621 images), as in this field.

    Pids of the training and of the test images both count from 0 and mean different people.

    Raises:
        UserError: If a list or folder is missing, a list names a missing file, or a line or file
            name does not fit.
    """
    folder = first_folder(root, LAYOUTS, "list_train.txt", "MSMT17")
    version, (train_folder, test_folder) = _version(folder)

    def split(names: tuple[str, ...], images: str) -> LabelledSplit:
        paths = [path for name in names for path in _listed(folder, name, folder / images)]
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            raise UserError(
                f"MSMT17: {len(missing)} listed image(s) are missing: {name_some(missing)}; "
                "unpack the whole archive again"
            )
        files = parse_names(paths, _PATTERN, "0000_000_01_0303morning_0015_0.jpg", _parse)
        return labelled(folder, sorted(files))

    train = split(("list_train.txt", "list_val.txt"), train_folder)
    return Dataset(
        name=NAME,
        root=folder,
        train=train.images,
        train_pids=np.asarray(train.pids),
        query=split(("list_query.txt",), test_folder),
        gallery=split(("list_gallery.txt",), test_folder),
        notes=(f"MSMT17 {version}", "training split: train and val together"),
    )


def _version(folder: Path) -> tuple[str, tuple[str, str]]:
    for version, folders in VERSIONS.items():
        if all((folder / name).is_dir() for name in folders):
            return version, folders
    wanted = " or ".join(f"{train} and {test}" for train, test in VERSIONS.values())
    raise UserError(f"MSMT17: {folder} holds neither {wanted}; unpack the whole archive again")


def _listed(folder: Path, name: str, images: Path) -> Iterator[Path]:
    """Paths that a list file names: ``0000/0000_000_01_0303morning_0015_0.jpg 0`` a line."""
    file = folder / name
    if not file.is_file():
        raise UserError(f"MSMT17: the list {file} is missing; unpack the whole archive again")
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if len(words) == 2 and words[1].isdigit():
            yield images / words[0]
        elif words:
            raise UserError(
                f"{file}:{number}: {line!r} is not a path and a number; restore the official list"
            )


def _parse(pid: str, picture: str, camera: str, rest: str) -> Parsed:
    return int(pid), int(camera) - 1, None
