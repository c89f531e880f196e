"""Market-1501 (Zheng et al., ICCV 2015)."""

from __future__ import annotations

import re
from pathlib import Path

from reid_gen.data.records import (
    Parsed,
    first_folder,
    image_files,
    labelled,
    need_folder,
    parse_names,
)
from reid_gen.types import Dataset, LabelledSplit

NAME = "market1501"
LAYOUTS = (
    "market1501/Market-1501-v15.09.15",
    "Market-1501-v15.09.15",
    "market1501",
    ".",
)
_PATTERN = re.compile(r"(-1|\d{4})_c([1-6])s(\d+)_(\d+)_(\d+)\.jpg(?:\.jpg)?")


def read(root: Path) -> Dataset:
    """Read Market-1501 in any of its usual layouts.

    Junk (pid -1) is dropped, distractors (pid 0) stay in the gallery. Frame numbers restart with
    every sequence of a camera; the sequence is kept in the key only.

    Raises:
        UserError: If a folder is missing or a file name does not fit.
    """
    folder = first_folder(root, LAYOUTS, "bounding_box_train", "Market-1501")

    def split(name: str) -> LabelledSplit:
        files = image_files(need_folder(folder / name, "Market-1501"))
        return labelled(folder, parse_names(files, _PATTERN, "0002_c1s1_000451_03.jpg", _parse))

    train = split("bounding_box_train")
    return Dataset(
        name=NAME,
        root=folder,
        train=train.images,
        train_pids=train.pids,
        query=split("query"),
        gallery=split("bounding_box_test"),
    )


def _parse(pid: str, camera: str, sequence: str, frame: str, box: str) -> Parsed:
    return int(pid), int(camera) - 1, int(frame)
