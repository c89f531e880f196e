"""Rendered pedestrians: Market-1501's layout with any number of cameras."""

from __future__ import annotations

from pathlib import Path

from reid_gen.data.readers.layout import BOX_FOLDERS, assemble, first_folder, read_boxes
from reid_gen.data.readers.market1501 import RULE
from reid_gen.types import Dataset

NAME = "pedestrians"
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
    folder = first_folder(root, (".", NAME), BOX_FOLDERS, "rendered pedestrians")
    splits = read_boxes(folder, "pedestrians", RULE)
    return assemble(NAME, folder, splits, "rendered people: nobody in these images is real")
