"""From a folder of files to images and pids."""

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
"""pid of a detection that is neither person nor distractor; dropped when read."""

MARKET_SPLIT_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
"""Folders of train, query and gallery in the layout of Market-1501."""
NO_TRAIN = "there are no training images: query and gallery can be measured, nothing can be learnt"

Splits = tuple[LabelledSplit, LabelledSplit, LabelledSplit]
"""Train, query and gallery."""

ParsedName = tuple[int, int, int | None, int]
"""pid, camid counted from 0, frame, recording."""


@dataclass(frozen=True)
class NameRule:
    """How a data set names its files.

    Attributes:
        pattern: Of the whole basename; its groups are what ``parse`` takes.
        example: A good name, for messages.
        parse: From groups to pid, camid, frame and recording.
    """

    pattern: re.Pattern[str]
    example: str
    parse: Callable[..., ParsedName]


def name_pattern(pid: str, after_camera: str) -> re.Pattern[str]:
    """Of file names like Market-1501's, with numbers of any length and any text before the ending.

    Args:
        pid: Pattern of the person.
        after_camera: What follows the camera, which is a number from 1.
    """
    return re.compile(rf"({pid})_c0*([1-9]\d*){after_camera}\D.*", re.IGNORECASE | re.ASCII)


def find_dataset_folder(
    root: Path, wanted: Iterable[str], markers: Sequence[str], name: str
) -> Path:
    """The first of some folders below a root that holds one of the markers.

    Args:
        root: What the user gave.
        wanted: Folders relative to it, in order of preference.
        markers: Files or folders, one of which must lie in it.
        name: Of the data set, for the message.

    Returns:
        The folder.

    Raises:
        UserError: If none does.
    """
    places = [root / folder for folder in wanted]
    for place in places:
        if any((place / marker).exists() for marker in markers):
            return place
    raise UserError(
        f"no {name} under {root}: none of these holds {' or '.join(markers)}: "
        f"{join_some((str(place) for place in places), most=len(places))}; "
        "give the folder that holds the data set as data.root or --root"
    )


def build_dataset(name: str, folder: Path, splits: Splits, *notes: str) -> Dataset:
    """Make a data set of three splits; the pids of the first are set apart from its images.

    Args:
        name: Key of the data set.
        folder: That held the splits.
        splits: Train, query and gallery.
        *notes: What a reader of results should know.

    Returns:
        The data set.
    """
    train, query, gallery = splits
    if not train.images:
        notes = (*notes, NO_TRAIN)
    return Dataset(name, folder, train.images, train.pids, query, gallery, notes)


def read_market_splits(folder: Path, name: str, rule: NameRule) -> Splits:
    """Read train, query and gallery from ``BOX_FOLDERS``.

    Args:
        folder: That holds the last two at least.
        name: Of the data set, for messages.
        rule: For the names of its files.

    Returns:
        Train, query and gallery, without junk.

    Raises:
        UserError: If query or gallery are missing or hold no images, or a name does not fit.
    """
    train, query, gallery = (
        _box_split(folder, folder / part, rule) for part in MARKET_SPLIT_FOLDERS
    )
    for part, split in zip(MARKET_SPLIT_FOLDERS[1:], (query, gallery), strict=True):
        if not split.images:
            raise UserError(
                f"{name}: {folder / part} is missing or holds no images; unpack the whole archive "
                "again"
            )
    return train, query, gallery


def _box_split(root: Path, folder: Path, rule: NameRule) -> LabelledSplit:
    """The images directly in a folder; none if there is no folder."""
    files = image_files(folder, recursive=False) if folder.is_dir() else []
    return build_split(root, parse_file_names(files, rule))


def parse_file_names(paths: Iterable[Path], rule: NameRule) -> list[tuple[Path, ParsedName]]:
    """Match every basename as a whole; the folders above it say nothing.

    Args:
        paths: Files.
        rule: What their names must be.

    Returns:
        Each path with what its name says.

    Raises:
        UserError: Naming the files whose names do not fit.
    """
    matched = [(path, rule.pattern.fullmatch(path.name)) for path in paths]
    bad = sorted(str(path) for path, match in matched if match is None)
    if bad:
        raise UserError(
            f"{len(bad)} file name(s) do not look like {rule.example}: {join_some(bad)}; "
            "rename or remove them, or list the images in a CSV manifest (data set folder)"
        )
    return [(path, rule.parse(*match.groups())) for path, match in matched if match is not None]


def build_split(root: Path, files: Iterable[tuple[Path, ParsedName]]) -> LabelledSplit:
    """Build a split in order of the keys, which are paths relative to ``root``; junk is dropped."""
    kept = sorted(
        (readable_name(path.relative_to(root)), path, parsed)
        for path, parsed in files
        if parsed[0] != JUNK
    )
    images = tuple(Image(key, path, *parsed[1:]) for key, path, parsed in kept)
    return LabelledSplit(images, np.array([parsed[0] for _, _, parsed in kept], dtype=np.int64))
