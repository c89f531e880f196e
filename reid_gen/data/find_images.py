"""Search for image files by folder, file, glob or list; shared by all commands and readers."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path, PurePath

from reid_gen.data.images import IMAGE_SUFFIXES
from reid_gen.data.text_lists import read_lines
from reid_gen.errors import UserError
from reid_gen.types import Image

_LOG = logging.getLogger(__name__)
_MACOS_ATTRIBUTES = "__MACOSX"
"""Folder in archives made by macOS; it holds file attributes under the names of the files."""

DirectoryEntry = os.DirEntry[str] | Path


def find_images(sources: Sequence[str]) -> tuple[Image, ...]:
    """Find the images that folders, files, globs and ``@list.txt`` files name.

    A folder yields all images below it, sorted, with keys relative to it. A list file has one path
    per line, relative to the list. A glob yields its matches, sorted. Sources keep their order.

    Raises:
        UserError: If a source matches no image, or two images would have the same key.
    """
    images = [image for source in sources for image in _images_of(source)]
    counts = Counter(image.key for image in images)
    for key, count in counts.most_common(1):
        if count > 1:
            raise UserError(
                f"{count} images have the key {key!r}; name each once, take their folders "
                "separately, or give their common parent folder"
            )
    return tuple(images)


def image_files(folder: Path, *, recursive: bool = True) -> list[Path]:
    """List the image files in a folder, sorted by path.

    Links are followed, and each folder is read once. Hidden files, broken links and files with
    other suffixes are skipped; a warning gives their number.

    Args:
        folder: Folder to search.
        recursive: Whether to search its subfolders too.

    Raises:
        UserError: If a folder cannot be read.
    """
    skipped: Counter[str] = Counter()
    images = [
        parent / entry.name
        for parent, entries in _walk(folder, skipped, recursive=recursive)
        for entry in entries
        if _is_image(entry, skipped)
    ]
    _report(str(folder), skipped)
    return sorted(images, key=Path.as_posix)


def readable_name(path: PurePath) -> str:
    r"""Format a path with slashes, as valid UTF-8: other bytes are escaped, as in ``\xb5``."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _images_of(source: str) -> list[Image]:
    path = Path(source)
    if source.startswith("@"):
        return _listed_images(Path(source[1:]))
    if path.is_dir():
        images = [Image(readable_name(p.relative_to(path)), p) for p in image_files(path)]
    elif path.exists():
        images = [Image(readable_name(path), path)]
    else:
        images = [Image(readable_name(p), p) for p in _glob_images(source)]
    if not images:
        raise UserError(
            f"{source} matches no image; give a folder, a file, a quoted glob or @list.txt "
            f"({', '.join(IMAGE_SUFFIXES)})"
        )
    return images


def _listed_images(file: Path) -> list[Image]:
    images = [Image(name, file.parent / name) for name in read_lines(file) if name]
    if not images:
        raise UserError(f"the list {file} names no image; write one path per line")
    return images


def _glob_images(pattern: str) -> list[Path]:
    skipped: Counter[str] = Counter()
    paths = map(Path, dict.fromkeys(_expand_glob(pattern, skipped)))
    images = [path for path in paths if _is_image(path, skipped)]
    _report(pattern, skipped)
    return sorted(images, key=Path.as_posix)


def _expand_glob(pattern: str, skipped: Counter[str]) -> list[str]:
    """Expand a glob; ``**`` uses :func:`_walk`, because Python's follows loops of links."""
    files_pattern = f"{pattern}/*" if Path(pattern).name == "**" else pattern
    head, *tail = re.split(r"(?:^|(?<=/))\*\*/", files_pattern, maxsplit=1)
    # Path.glob takes no absolute pattern.
    starts = glob.glob(head) if head else ["."]  # noqa: PTH207
    if not tail:
        return starts
    return [
        match
        for start in map(Path, starts)
        if start.is_dir()
        for folder, _ in _walk(start, skipped)
        for match in _expand_glob(f"{glob.escape(str(folder))}/{tail[0]}", skipped)
    ]


def _walk(
    folder: Path, skipped: Counter[str], *, recursive: bool = True
) -> Iterator[tuple[Path, list[DirectoryEntry]]]:
    """Yield each folder once, with its files; by its own path rather than by that of a link."""
    folders, links = [folder], list[Path]()
    visited: set[tuple[int, int]] = set()
    while folders or links:
        current = folders.pop() if folders else links.pop(0)
        try:
            status = current.stat()
            with os.scandir(current) as listing:
                # DirEntry.is_dir raises for a link to itself, Path.is_dir does not.
                entries = [Path(e) if e.is_symlink() else e for e in listing]
        except OSError as error:
            raise UserError(
                f"cannot read the folder {current}: {error.strerror}; check the path"
            ) from error
        if (status.st_dev, status.st_ino) in visited:
            skipped["links to a folder that was read already"] += 1
            continue
        visited.add((status.st_dev, status.st_ino))
        subfolders = {e.name: e for e in entries if recursive and e.is_dir() and not _is_hidden(e)}
        for name in sorted(subfolders):
            (links if subfolders[name].is_symlink() else folders).append(current / name)
        yield current, [entry for entry in entries if entry.name not in subfolders]


def _is_hidden(entry: DirectoryEntry) -> bool:
    return entry.name.startswith(".") or entry.name == _MACOS_ATTRIBUTES


def _is_image(entry: DirectoryEntry, skipped: Counter[str]) -> bool:
    """Whether a file is an image by its name; if not, count it in ``skipped`` by the reason."""
    suffix = Path(entry.name).suffix.lower()
    if _is_hidden(entry):
        skipped["hidden"] += 1
    elif entry.is_dir():
        skipped["folders"] += 1
    elif not entry.is_file():
        skipped["broken links" if entry.is_symlink() else "not regular files"] += 1
    elif suffix not in IMAGE_SUFFIXES:
        skipped[f"with suffix {suffix}" if suffix else "without a suffix"] += 1
    else:
        return True
    return False


@cache  # A run reads a data set more than once; the user should see each warning once.
def _warn(note: str) -> None:
    _LOG.warning(note)


def _report(source: str, skipped: Counter[str]) -> None:
    if skipped:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(skipped.items()))
        _warn(f"note: skipped in {source}: {counts}")
