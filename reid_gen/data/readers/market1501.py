"""Reader of Market-1501 (Zheng et al., ICCV 2015)."""

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

NAME: Final = "market1501"
DATASET_FOLDERS = (
    "market1501/Market-1501-v15.09.15",
    "Market-1501-v15.09.15",
    "market1501",
    ".",
)
"""Folders below the root that may hold the splits, in order of preference."""
DISTRACTOR = 0
"""pid of the gallery's distractors: false detections, which match no query."""
JUNK_AND_DISTRACTORS = "gallery: junk (pid -1) is left out, distractors (pid 0) stay in"


def read(root: Path) -> Dataset:
    """Read Market-1501 in any of its usual layouts.

    Junk (pid -1) is dropped; distractors (pid 0) stay in the gallery. Frame numbers restart in
    every sequence of a camera, so the sequence becomes ``Image.recording``.

    Args:
        root: Folder of the splits, or a parent of it.

    Returns:
        The data set with train, query and gallery.

    Raises:
        UserError: If a split is missing or empty, or a file name does not match.
    """
    folder = find_dataset_folder(root, DATASET_FOLDERS, MARKET_SPLIT_FOLDERS, "Market-1501")
    splits = read_market_splits(folder, "Market-1501", RULE)
    return build_dataset(NAME, folder, splits, JUNK_AND_DISTRACTORS)


def _parse(pid: str, camera: str, sequence: str | None, frame: str | None) -> ParsedName:
    return (
        int(pid),
        int(camera) - 1,
        None if frame is None else int(frame),
        1 if sequence is None else int(sequence),
    )


RULE = NameRule(
    name_pattern(r"-1|\d+", r"(?:s(\d+)_(\d+)_\d+)?"), "0002_c1s1_000451_03.jpg", _parse
)
"""Sequence and frame are optional, for other data sets in the layout of Market-1501."""
