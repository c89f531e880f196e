"""Rendered pedestrians: Market-1501's layout with any number of cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from reid_gen.data.readers.layout import (
    MARKET_SPLIT_FOLDERS,
    build_dataset,
    find_dataset_folder,
    read_market_splits,
)
from reid_gen.data.readers.market1501 import RULE
from reid_gen.types import Dataset

NAME: Final = "pedestrians"
DISTRACTOR = 0
"""pid of the gallery's bad detections, which match nobody."""


def read(root: Path) -> Dataset:
    """Read a data set that ``reid-gen data render pedestrians`` made.

    Args:
        root: Its folder, or the one above a folder of that name.

    Returns:
        The three splits.

    Raises:
        UserError: If a folder is missing or empty, or a file name does not fit.
    """
    folder = find_dataset_folder(root, (".", NAME), MARKET_SPLIT_FOLDERS, "rendered pedestrians")
    splits = read_market_splits(folder, "pedestrians", RULE)
    return build_dataset(NAME, folder, splits, "rendered people: nobody in these images is real")
