"""Reader of DukeMTMC-reID (Zheng et al., ICCV 2017), withdrawn by its authors in 2019."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from reid_gen.data.readers.layout import (
    MARKET_SPLIT_FOLDERS,
    NameRule,
    ParsedName,
    build_dataset,
    find_dataset_folder,
    name_pattern,
    read_market_splits,
)
from reid_gen.types import Dataset

NAME: Final = "dukemtmcreid"
DATASET_FOLDERS = (
    "dukemtmcreid/DukeMTMC-reID",
    "dukemtmc-reid/DukeMTMC-reID",
    "dukemtmc/DukeMTMC-reID",
    "DukeMTMC-reID",
    "dukemtmcreid",
    ".",
)
"""Folders below the root that may hold the splits, in order of preference."""
WITHDRAWN = (
    "DukeMTMC-reID was withdrawn by its authors in 2019 over privacy; "
    "report results on it only where you must compare with older ones"
)


def read(root: Path) -> Dataset:
    """Read DukeMTMC-reID in any of its usual layouts.

    Args:
        root: Folder of the splits, or a parent of it.

    Returns:
        The data set with train, query and gallery.

    Raises:
        UserError: If a split is missing or empty, or a file name does not match.
    """
    folder = find_dataset_folder(root, DATASET_FOLDERS, MARKET_SPLIT_FOLDERS, "DukeMTMC-reID")
    return build_dataset(
        NAME, folder, read_market_splits(folder, "DukeMTMC-reID", _RULE), WITHDRAWN
    )


def _parse(pid: str, camera: str, frame: str) -> ParsedName:
    return int(pid), int(camera) - 1, int(frame), 1


_RULE = NameRule(name_pattern(r"\d+", r"_f(\d+)"), "0001_c2_f0046182.jpg", _parse)
