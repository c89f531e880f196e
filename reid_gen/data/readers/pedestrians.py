"""Reader of rendered pedestrians: the layout of Market-1501 with any number of cameras."""

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
"""pid of the gallery's distractors: badly detected boxes, which match no query."""


def read(root: Path) -> Dataset:
    """Read a data set that ``reid-gen data render pedestrians`` rendered.

    Args:
        root: Folder of the splits, or the parent of a folder ``pedestrians`` with them.

    Returns:
        The data set with train, query and gallery.

    Raises:
        UserError: If a split is missing or empty, or a file name does not match.
    """
    folder = find_dataset_folder(root, (".", NAME), MARKET_SPLIT_FOLDERS, "rendered pedestrians")
    splits = read_market_splits(folder, "pedestrians", RULE)
    return build_dataset(NAME, folder, splits, "rendered people: nobody in these images is real")
