"""From a folder of files to images and pids."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from reid_gen.data.images import SUFFIXES
from reid_gen.errors import UserError, name_some
from reid_gen.types import Image, LabelledSplit

JUNK = -1
"""pid of a detection that is neither person nor distractor; dropped when read."""

Parsed = tuple[int, int, int | None]
"""pid, camid counted from 0, frame."""


def image_files(folder: Path) -> list[Path]:
    """Image files directly in a folder, sorted by name; other files are passed over."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def first_folder(root: Path, wanted: Iterable[str], marker: str, name: str) -> Path:
    """The first of some folders below a root that holds the marker.

    Args:
        root: What the user gave.
        wanted: Folders relative to it, in order of preference.
        marker: File or folder that must lie in it.
        name: Of the data set, for the message.

    Returns:
        The folder.

    Raises:
        UserError: If none does.
    """
    places = [root / folder for folder in wanted]
    for place in places:
        if (place / marker).exists():
            return place
    raise UserError(
        f"no {name} under {root}: none of these holds {marker}: "
        f"{name_some((str(place) for place in places), most=len(places))}; "
        "give the folder that holds the data set as data.root or --root"
    )


def parse_names(
    paths: Iterable[Path], pattern: re.Pattern[str], example: str, parse: Callable[..., Parsed]
) -> list[tuple[Path, Parsed]]:
    """Match every basename as a whole.

    Args:
        paths: Files.
        pattern: Of the basename; its groups are what ``parse`` takes.
        example: A good name, for the message.
        parse: From groups to pid, camid and frame.

    Returns:
        Each path with what its name says.

    Raises:
        UserError: Naming the files whose names do not fit.
    """
    matched = [(path, pattern.fullmatch(path.name)) for path in paths]
    bad = [str(path) for path, match in matched if match is None]
    if bad:
        raise UserError(
            f"{len(bad)} file name(s) do not look like {example}: {name_some(bad)}; "
            "rename or remove them"
        )
    return [(path, parse(*match.groups())) for path, match in matched if match is not None]


def labelled(root: Path, files: Iterable[tuple[Path, Parsed]]) -> LabelledSplit:
    """Build a split; junk is dropped. Keys are paths relative to ``root``."""
    kept = [(path, parsed) for path, parsed in files if parsed[0] != JUNK]
    images = tuple(
        Image(path.relative_to(root).as_posix(), path, camid, frame)
        for path, (_, camid, frame) in kept
    )
    return LabelledSplit(images, np.array([pid for _, (pid, _, _) in kept], dtype=np.int64))


def need_folder(folder: Path, name: str) -> Path:
    """Return a split's folder.

    Raises:
        UserError: If it is missing.
    """
    if not folder.is_dir():
        raise UserError(
            f"{name}: the split folder {folder} is missing; unpack the whole archive again"
        )
    return folder
