"""Reader of a user's own data: a folder of unlabelled crops, or a CSV manifest with labels."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from reid_gen.data.find_images import image_files, readable_name
from reid_gen.data.ids import parse_id
from reid_gen.data.images import IMAGE_SUFFIXES
from reid_gen.data.readers.layout import NO_TRAIN
from reid_gen.data.text_lists import read_text
from reid_gen.errors import UserError, join_some
from reid_gen.types import UNKNOWN, Dataset, Image, Int64Array, LabelledSplit

NAME: Final = "folder"
SPLITS = ("train", "query", "gallery")
COLUMNS = ("path", "pid", "camid", "frame", "split")


@dataclass(frozen=True)
class _Row:
    """One line of a manifest."""

    image: Image
    pid: int
    split: str


def read(root: Path) -> Dataset:
    """Read all images below a folder as unlabelled training images, or a CSV manifest.

    A manifest has a column ``path`` (relative to the manifest) and optionally ``pid``, ``camid``,
    ``frame`` (counted from 0, empty where unknown) and ``split`` (train, query or gallery; train
    if empty). Query and gallery need pids, where -1 is junk; training never reads pids.

    Args:
        root: A folder, or a .csv file.

    Returns:
        The data set; a manifest may also have query and gallery.

    Raises:
        UserError: If there are no images, or the manifest is invalid.
    """
    if root.suffix.lower() == ".csv" and not root.is_dir():
        return _read_manifest(root)
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; give a folder of images or a .csv manifest")
    images = [Image(readable_name(path.relative_to(root)), path) for path in image_files(root)]
    if not images:
        raise UserError(
            f"{root} holds no images ({', '.join(IMAGE_SUFFIXES)}); check data.root or --root"
        )
    return Dataset(name=NAME, root=root, train=tuple(sorted(images, key=lambda image: image.key)))


def _read_manifest(file: Path) -> Dataset:
    rows = sorted(_rows(file), key=lambda row: row.image.key)
    missing = [row.image.key for row in rows if not row.image.path.is_file()]
    if missing:
        raise UserError(
            f"{file} names {len(missing)} file(s) that do not exist: {join_some(missing)}; "
            "paths are relative to the manifest"
        )
    counts = Counter((row.split, row.image.key) for row in rows)
    duplicates = [f"{path} in {split}" for (split, path), count in counts.items() if count > 1]
    if duplicates:
        raise UserError(f"{file} names images twice: {join_some(duplicates)}; keep one row of each")
    if not rows:
        raise UserError(f"{file} has no rows; give one per image")
    rows_of = {split: [row for row in rows if row.split == split] for split in SPLITS}
    if bool(rows_of["query"]) != bool(rows_of["gallery"]):
        present, absent = ("query", "gallery") if rows_of["query"] else ("gallery", "query")
        raise UserError(f"{file} has {present} rows but no {absent} rows; give both or none")
    return Dataset(
        name=NAME,
        root=file,
        train=tuple(row.image for row in rows_of["train"]),
        train_pids=_train_pids(rows_of["train"]),
        query=_labelled_split(rows_of["query"]),
        gallery=_labelled_split(rows_of["gallery"]),
        notes=(() if rows_of["train"] else (NO_TRAIN,)) + _junk_notes(rows_of),
    )


def _junk_notes(rows_of: dict[str, list[_Row]]) -> tuple[str, ...]:
    junk = {split: sum(row.pid == UNKNOWN for row in rows_of[split]) for split in SPLITS[1:]}
    return tuple(f"{split}: {n} junk images (pid -1) are ignored" for split, n in junk.items() if n)


def _rows(file: Path) -> list[_Row]:
    reader = csv.DictReader(io.StringIO(read_text(file), newline=""), strict=True)
    try:
        _check_columns(file, reader.fieldnames or ())
        return [_parse_row(file, reader.line_num, fields) for fields in reader]
    except csv.Error as error:
        raise UserError(f"{file} is not a CSV file ({error}); save it as one") from error


def _check_columns(file: Path, columns: Sequence[str]) -> None:
    if "path" not in columns or not set(columns) <= set(COLUMNS):
        raise UserError(
            f"{file}: columns are {', '.join(columns) or 'none'}; path is needed, and only "
            f"{', '.join(COLUMNS)} are known"
        )


def _parse_row(file: Path, line: int, fields: dict[str, str]) -> _Row:
    if None in fields:
        raise UserError(f"{file}:{line}: more values than columns; quote a path with a comma")
    if not fields["path"]:
        raise UserError(f"{file}:{line}: the path is empty; give one or remove the line")
    split = fields.get("split") or "train"
    if split not in SPLITS:
        raise UserError(f"{file}:{line}: split {split!r} is none of {', '.join(SPLITS)}")
    pid, *numbers = (_parse_number(file, line, fields, name) for name in ("pid", "camid", "frame"))
    if not fields.get("pid") and split != "train":
        raise UserError(f"{file}:{line}: a {split} image needs a pid; give it one")
    camid, frame = (None if number == UNKNOWN else number for number in numbers)
    image = Image(fields["path"], file.parent / fields["path"], camid, frame)
    return _Row(image, pid, split)


def _parse_number(file: Path, line: int, fields: dict[str, str], name: str) -> int:
    """Parse a pid, camera or frame; an empty or missing value is ``UNKNOWN``."""
    text = fields.get(name) or ""
    try:
        return parse_id(text)
    except ValueError as error:
        raise UserError(
            f"{file}:{line}: {name} {text!r} is not an integer from 0 up; correct it, or "
            "leave it empty if unknown"
        ) from error


def _labelled_split(rows: Sequence[_Row]) -> LabelledSplit | None:
    pids = np.array([row.pid for row in rows], dtype=np.int64)
    return LabelledSplit(tuple(row.image for row in rows), pids) if rows else None


def _train_pids(rows: Sequence[_Row]) -> Int64Array | None:
    """Return the pids of the rows; None if there are no rows or a pid is missing."""
    pids = np.array([row.pid for row in rows], dtype=np.int64)
    return pids if rows and (pids != UNKNOWN).all() else None
