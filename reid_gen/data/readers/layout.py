"""Building blocks of readers: finding the folder of a data set, and parsing file names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid_gen.data.find_images import image_files, readable_name
from reid_gen.errors import UserError, join_some
from reid_gen.types import Dataset, Image, LabelledSplit

JUNK = -1
"""pid of a detection that is neither a person nor a distractor; dropped on reading."""

MARKET_SPLIT_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
"""Folders of train, query and gallery in the layout of Market-1501."""
NO_TRAIN = "there are no training images: evaluation is possible, training is not"

Splits = tuple[LabelledSplit, LabelledSplit, LabelledSplit]
"""Train, query and gallery."""

ParsedName = tuple[int, int, int | None, int]
"""pid, camid counted from 0, frame (None if unknown) and recording."""


@dataclass(frozen=True)
class NameRule:
    """How the file names of a data set are parsed.

    Attributes:
        pattern: Pattern of the complete file name; its groups are the arguments of ``parse``.
        example: A valid name, for messages.
        parse: Function from the groups to pid, camid, frame and recording.
    """

    pattern: re.Pattern[str]
    example: str
    parse: Callable[..., ParsedName]


def name_pattern(pid: str, after_camera: str) -> re.Pattern[str]:
    """Build the pattern of names like Market-1501's, with numbers of any length and any suffix.

    Args:
        pid: Pattern of the person id.
        after_camera: Pattern of what follows the camera, which is a number from 1.
    """
    return re.compile(rf"({pid})_c0*([1-9]\d*){after_camera}\D.*", re.IGNORECASE | re.ASCII)


def find_dataset_folder(
    root: Path, folders: Iterable[str], markers: Sequence[str], name: str
) -> Path:
    """Find the first of several folders below the root that holds one of the markers.

    Args:
        root: Root folder that the user gave.
        folders: Candidate folders relative to the root, in order of preference.
        markers: Names of files or folders, one of which must be in the folder.
        name: Title of the data set, for messages.

    Returns:
        The folder.

    Raises:
        UserError: If no folder holds a marker.
    """
    candidates = [root / folder for folder in folders]
    for candidate in candidates:
        if any((candidate / marker).exists() for marker in markers):
            return candidate
    raise UserError(
        f"no {name} under {root}: none of these holds {' or '.join(markers)}: "
        f"{join_some((str(candidate) for candidate in candidates), limit=len(candidates))}; "
        "give the folder that holds the data set as data.root or --root"
    )


def build_dataset(name: str, folder: Path, splits: Splits, *notes: str) -> Dataset:
    """Build a data set from its splits; training images are separated from their pids.

    Args:
        name: Key of the data set.
        folder: Folder of the splits.
        splits: Train, query and gallery.
        *notes: What readers of results should know, such as the version of the data set.

    Returns:
        The data set.
    """
    train, query, gallery = splits
    if not train.images:
        notes = (*notes, NO_TRAIN)
    return Dataset(name, folder, train.images, train.pids, query, gallery, notes)


def read_market_splits(folder: Path, name: str, rule: NameRule) -> Splits:
    """Read train, query and gallery from ``MARKET_SPLIT_FOLDERS``.

    Args:
        folder: Folder of the splits; the training split may be missing.
        name: Title of the data set, for messages.
        rule: How its file names are parsed.

    Returns:
        Train, query and gallery, without junk.

    Raises:
        UserError: If query or gallery are missing or hold no images, or a name does not match.
    """
    train, query, gallery = (
        _read_split(folder, folder / split_folder, rule) for split_folder in MARKET_SPLIT_FOLDERS
    )
    for split_folder, split in zip(MARKET_SPLIT_FOLDERS[1:], (query, gallery), strict=True):
        if not split.images:
            raise UserError(
                f"{name}: {folder / split_folder} is missing or holds no images; unpack the whole "
                "archive again"
            )
    return train, query, gallery


def _read_split(root: Path, folder: Path, rule: NameRule) -> LabelledSplit:
    """Read the images directly in a folder; a missing folder is an empty split."""
    files = image_files(folder, recursive=False) if folder.is_dir() else []
    return build_split(root, parse_file_names(files, rule))


def parse_file_names(paths: Iterable[Path], rule: NameRule) -> list[tuple[Path, ParsedName]]:
    """Parse the names of files; the names of their folders are ignored.

    Args:
        paths: Image files.
        rule: How their names are parsed.

    Returns:
        Each path with the content of its name.

    Raises:
        UserError: Naming the files whose names do not match.
    """
    matches = [(path, rule.pattern.fullmatch(path.name)) for path in paths]
    unmatched = sorted(str(path) for path, match in matches if match is None)
    if unmatched:
        raise UserError(
            f"{len(unmatched)} file name(s) do not look like {rule.example}: "
            f"{join_some(unmatched)}; rename or remove them, or list the images in a CSV manifest "
            "(data set folder)"
        )
    return [(path, rule.parse(*match.groups())) for path, match in matches if match is not None]


def build_split(root: Path, files: Iterable[tuple[Path, ParsedName]]) -> LabelledSplit:
    """Build a split without junk, sorted by key; keys are paths relative to ``root``."""
    rows = sorted(
        (readable_name(path.relative_to(root)), path, parsed)
        for path, parsed in files
        if parsed[0] != JUNK
    )
    images = tuple(Image(key, path, *parsed[1:]) for key, path, parsed in rows)
    return LabelledSplit(images, np.array([parsed[0] for _, _, parsed in rows], dtype=np.int64))
