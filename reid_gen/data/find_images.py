"""The images that folders, files, globs and lists name: one finder for all commands."""

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
_ARCHIVED = "__MACOSX"
"""Folder of file attributes, named like the files, in archives that macOS makes."""

DirectoryEntry = os.DirEntry[str] | Path


def find_images(sources: Sequence[str]) -> tuple[Image, ...]:
    """Images meant by folders, files, globs and ``@list.txt`` files.

    A folder gives all images below it, sorted, with keys relative to it; a list file gives one path
    a line, relative to the list; a glob gives its matches, sorted. The sources keep their order.

    Raises:
        UserError: If a source matches nothing, or two images would have the same key.
    """
    images = [image for source in sources for image in _source(source)]
    counts = Counter(image.key for image in images)
    for key, count in counts.most_common(1):
        if count > 1:
            raise UserError(
                f"{count} images have the key {key!r}; name each once, take their folders "
                "separately, or give their common parent folder"
            )
    return tuple(images)


def image_files(folder: Path, *, deep: bool = True) -> list[Path]:
    """Image files in a folder, sorted by their names as text.

    Links are followed and each folder is read once. Hidden files, broken links and files with other
    endings are passed over, and a warning counts them.

    Args:
        folder: Where they lie.
        deep: Whether to read the folders in it too.

    Raises:
        UserError: If a folder cannot be read.
    """
    passed: Counter[str] = Counter()
    images = [
        here / entry.name
        for here, entries in _walk(folder, passed, deep=deep)
        for entry in entries
        if _is_image(entry, passed)
    ]
    _report(str(folder), passed)
    return sorted(images, key=Path.as_posix)


def readable_name(path: PurePath) -> str:
    r"""A path with slashes; bytes that are not UTF-8 become ``\xb5``, which any file can hold."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _source(source: str) -> list[Image]:
    path = Path(source)
    if source.startswith("@"):
        return _listed(Path(source[1:]))
    if path.is_dir():
        images = [Image(readable_name(p.relative_to(path)), p) for p in image_files(path)]
    elif path.exists():
        images = [Image(readable_name(path), path)]
    else:
        images = [Image(readable_name(p), p) for p in _matches(source)]
    if not images:
        raise UserError(
            f"{source} matches no image; give a folder, a file, a quoted glob or @list.txt "
            f"({', '.join(IMAGE_SUFFIXES)})"
        )
    return images


def _listed(file: Path) -> list[Image]:
    images = [Image(name, file.parent / name) for name in read_lines(file) if name]
    if not images:
        raise UserError(f"the list {file} names no image")
    return images


def _matches(pattern: str) -> list[Path]:
    passed: Counter[str] = Counter()
    paths = map(Path, dict.fromkeys(_expand(pattern, passed)))
    images = [path for path in paths if _is_image(path, passed)]
    _report(pattern, passed)
    return sorted(images, key=Path.as_posix)


def _expand(pattern: str, passed: Counter[str]) -> list[str]:
    """Matches of a glob; ``**`` are the folders of :func:`_walk`, as Python's follows loops."""
    whole = f"{pattern}/*" if Path(pattern).name == "**" else pattern
    head, *tail = re.split(r"(?:^|(?<=/))\*\*/", whole, maxsplit=1)
    # Path.glob takes no absolute pattern.
    starts = glob.glob(head) if head else ["."]  # noqa: PTH207
    if not tail:
        return starts
    return [
        match
        for start in map(Path, starts)
        if start.is_dir()
        for folder, _ in _walk(start, passed)
        for match in _expand(f"{glob.escape(str(folder))}/{tail[0]}", passed)
    ]


def _walk(
    folder: Path, passed: Counter[str], *, deep: bool = True
) -> Iterator[tuple[Path, list[DirectoryEntry]]]:
    """Each folder once, by its own name rather than by a link's, with the files in it."""
    folders, links = [folder], list[Path]()
    seen: set[tuple[int, int]] = set()
    while folders or links:
        here = folders.pop() if folders else links.pop(0)
        try:
            about = here.stat()
            with os.scandir(here) as listing:
                # A Path, as an entry fails at a link that leads to itself.
                entries = [Path(e) if e.is_symlink() else e for e in listing]
        except OSError as error:
            raise UserError(f"cannot read the folder {here}: {error.strerror}") from error
        if (about.st_dev, about.st_ino) in seen:
            passed["links to a folder that is read already"] += 1
            continue
        seen.add((about.st_dev, about.st_ino))
        inside = {e.name: e for e in entries if deep and e.is_dir() and not _hidden(e)}
        for name in sorted(inside):
            (links if inside[name].is_symlink() else folders).append(here / name)
        yield here, [entry for entry in entries if entry.name not in inside]


def _hidden(entry: DirectoryEntry) -> bool:
    return entry.name.startswith(".") or entry.name == _ARCHIVED


def _is_image(entry: DirectoryEntry, passed: Counter[str]) -> bool:
    """Whether a file counts as an image; if not, it is counted by the reason."""
    suffix = Path(entry.name).suffix.lower()
    if _hidden(entry):
        passed["hidden"] += 1
    elif entry.is_dir():
        passed["folders"] += 1
    elif not entry.is_file():
        passed["broken links" if entry.is_symlink() else "no regular files"] += 1
    elif suffix not in IMAGE_SUFFIXES:
        passed[f"ending in {suffix}" if suffix else "without an ending"] += 1
    else:
        return True
    return False


@cache  # A data set is read more than once in a run.
def _warn(note: str) -> None:
    _LOG.warning(note)


def _report(source: str, passed: Counter[str]) -> None:
    if passed:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(passed.items()))
        _warn(f"note: passed over in {source}: {counts}")
