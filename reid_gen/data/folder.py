"""Own data: a folder of unlabelled crops, or a manifest."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from reid_gen.data.images import SUFFIXES
from reid_gen.errors import UserError, name_some
from reid_gen.types import Dataset, Image, LabelledSplit

NAME = "folder"
SPLITS = ("train", "query", "gallery")
COLUMNS = ("path", "pid", "camid", "frame", "split")


def read(root: Path) -> Dataset:
    """Read all images below a folder as unlabelled training images, or a CSV manifest.

    A manifest has a column ``path`` (relative to the manifest) and optionally ``pid``, ``camid``,
    ``frame`` (integers, empty where unknown) and ``split`` (train, query or gallery; train if
    empty). Query and gallery need pids; training never reads them.

    Raises:
        UserError: If there are no images, or the manifest does not fit.
    """
    if root.suffix.lower() == ".csv":
        return _read_manifest(root)
    if not root.is_dir():
        raise UserError(f"{root} is no folder; give a folder of images or a .csv manifest")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"{root} holds no images ({', '.join(sorted(SUFFIXES))})")
    images = tuple(Image(path.relative_to(root).as_posix(), path) for path in paths)
    return Dataset(name=NAME, root=root, train=images)


def _read_manifest(file: Path) -> Dataset:
    rows = _rows(file)
    missing = [row["path"] for row in rows if not (file.parent / row["path"]).is_file()]
    if missing:
        raise UserError(
            f"{file} names {len(missing)} file(s) that do not exist: {name_some(missing)}; "
            "paths are relative to the manifest"
        )
    parts = {
        split: [(number, row) for number, row in enumerate(rows, start=2) if row["split"] == split]
        for split in SPLITS
    }
    train = tuple(_image(file, number, row) for number, row in parts["train"])
    if not train:
        raise UserError(f"{file} has no row with split train")
    return Dataset(
        name=NAME,
        root=file,
        train=train,
        query=_labelled(file, parts["query"]),
        gallery=_labelled(file, parts["gallery"]),
    )


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        raise UserError(f"the manifest {file} does not exist")
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        columns = reader.fieldnames or []
        unknown = [column for column in columns if column not in COLUMNS]
        if "path" not in columns or unknown:
            raise UserError(
                f"{file}: columns are {', '.join(columns) or 'none'}; path is needed, and only "
                f"{', '.join(COLUMNS)} are known"
            )
        rows = [{name: row.get(name) or "" for name in COLUMNS} for row in reader]
    for number, row in enumerate(rows, start=2):
        row["split"] = row["split"] or "train"
        if row["split"] not in SPLITS:
            raise UserError(
                f"{file}:{number}: split {row['split']!r} is none of {', '.join(SPLITS)}"
            )
    return rows


def _image(file: Path, number: int, row: dict[str, str]) -> Image:
    camid, frame = (_integer(file, number, row, name) for name in ("camid", "frame"))
    return Image(row["path"], file.parent / row["path"], camid, frame)


def _labelled(file: Path, rows: list[tuple[int, dict[str, str]]]) -> LabelledSplit | None:
    if not rows:
        return None
    pids = []
    for number, row in rows:
        pid = _integer(file, number, row, "pid")
        if pid is None:
            raise UserError(f"{file}:{number}: a {row['split']} image needs a pid")
        pids.append(pid)
    images = tuple(_image(file, number, row) for number, row in rows)
    return LabelledSplit(images, np.array(pids, dtype=np.int64))


def _integer(file: Path, number: int, row: dict[str, str], name: str) -> int | None:
    if not row[name]:
        return None
    try:
        return int(row[name])
    except ValueError:
        raise UserError(f"{file}:{number}: {name} {row[name]!r} is not an integer") from None
