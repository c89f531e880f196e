"""DukeMTMC-reID (Zheng et al., ICCV 2017), withdrawn by its authors in 2019."""

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

NAME = "dukemtmcreid"
LAYOUTS = (
    "dukemtmcreid/DukeMTMC-reID",
    "dukemtmc-reid/DukeMTMC-reID",
    "dukemtmc/DukeMTMC-reID",
    "DukeMTMC-reID",
    "dukemtmcreid",
    ".",
)
WITHDRAWN = (
    "DukeMTMC-reID was withdrawn by its authors in 2019 over privacy; "
    "report results on it only where you must compare with older ones"
)
_PATTERN = re.compile(r"(\d{4})_c([1-8])_f(\d+)\.jpg")


def read(root: Path) -> Dataset:
    """Read DukeMTMC-reID in any of its usual layouts.

    Raises:
        UserError: If a folder is missing or a file name does not fit.
    """
    folder = first_folder(root, LAYOUTS, "bounding_box_train", "DukeMTMC-reID")

    def split(name: str) -> LabelledSplit:
        files = image_files(need_folder(folder / name, "DukeMTMC-reID"))
        return labelled(folder, parse_names(files, _PATTERN, "0001_c2_f0046182.jpg", _parse))

    train = split("bounding_box_train")
    return Dataset(
        name=NAME,
        root=folder,
        train=train.images,
        train_pids=train.pids,
        query=split("query"),
        gallery=split("bounding_box_test"),
        notes=(WITHDRAWN,),
    )


def _parse(pid: str, camera: str, frame: str) -> Parsed:
    return int(pid), int(camera) - 1, int(frame)
