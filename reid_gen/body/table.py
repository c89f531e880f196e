"""Body parameters of many images in one file: what mesh recovery leaves, and what views need."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid_gen.data.tables import read_npz
from reid_gen.errors import UserError, join_some
from reid_gen.files import as_json, write_bytes
from reid_gen.types import Float32Array, Int64Array

FORMAT = 1
COLUMNS = {"pose": (24, 3), "shape": (10,), "camera": (3,), "score": (), "size": (2,)}


@dataclass(frozen=True)
class BodyTable:
    """One body per image.

    Attributes:
        keys: Of the images: paths relative to the root of their data set.
        pose: Rotation vectors in radians, root first, [N, 24, 3] float32.
        shape: Coefficients of the body model, [N, 10] float32.
        camera: Weak perspective: scale, x, y in half heights of the image, [N, 3] float32.
        score: Confidence 0 to 1, [N] float32; 1 where the body is known.
        size: Rows and columns of the image that the camera belongs to, [N, 2] int64.
        source: Where the parameters come from.
    """

    keys: tuple[str, ...]
    pose: Float32Array
    shape: Float32Array
    camera: Float32Array
    score: Float32Array
    size: Int64Array
    source: str

    def __post_init__(self) -> None:
        for name, tail in COLUMNS.items():
            found = getattr(self, name).shape
            if found != (len(self.keys), *tail):
                raise ValueError(f"{name}: expected {(len(self.keys), *tail)}, got {found}")

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each key."""
        return {key: row for row, key in enumerate(self.keys)}

    def of(self, keys: Sequence[str]) -> BodyTable:
        """The rows of some images, in their order.

        Raises:
            UserError: If an image has no row: the table is another data set's.
        """
        missing = [key for key in keys if key not in self.rows]
        if missing:
            raise UserError(
                f"no body parameters for {len(missing)} of {len(keys)} images: "
                f"{join_some(missing)}; the file belongs to other images, or is unfinished: "
                "run `reid-gen meshes` for these"
            )
        rows = [self.rows[key] for key in keys]
        columns = {name: getattr(self, name)[rows] for name in COLUMNS}
        return BodyTable(tuple(keys), **columns, source=self.source)

    def trusts(self, keys: Sequence[str], min_score: float) -> NDArray[np.bool_]:
        """Which of N images have a body of at least a score, [N].

        Raises:
            UserError: If an image has no row.
        """
        trusted: NDArray[np.bool_] = self.of(keys).score >= min_score
        return trusted


def join_tables(tables: Sequence[BodyTable]) -> BodyTable:
    """The rows of several tables of one source, one after the other."""
    keys = tuple(key for table in tables for key in table.keys)
    columns = {name: np.concatenate([getattr(t, name) for t in tables]) for name in COLUMNS}
    return BodyTable(keys, **columns, source=tables[0].source)


def save_table(table: BodyTable, path: Path) -> None:
    """Write a table, about 0.4 KB an image.

    Raises:
        UserError: If the file cannot be written; an older one stays.
    """
    file = io.BytesIO()
    columns = {name: getattr(table, name) for name in COLUMNS}
    about = as_json({"format": FORMAT, "source": table.source}, None)
    np.savez_compressed(file, keys=np.array(table.keys), about=np.array(about), **columns)
    write_bytes(path, file.getvalue())


def load_table(path: Path) -> BodyTable:
    """Read a table.

    Raises:
        UserError: If the file is missing, or no table of a known format.
    """
    if not path.is_file():
        raise UserError(f"no body parameters at {path}; make them with `reid-gen meshes`")
    try:
        content = read_npz(path)
        about = json.loads(str(content["about"]))
        if about["format"] != FORMAT:
            raise UserError(
                f"{path} has format {about['format']}, this version reads {FORMAT}; make it again"
            )
        columns = {name: _numbers(content[name], name) for name in COLUMNS}
        keys = tuple(str(key) for key in content["keys"].tolist())
        return BodyTable(keys, **columns, source=str(about["source"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is no table of body parameters ({error}); make one with `reid-gen meshes`"
        ) from error


def _numbers(values: NDArray[Any], name: str) -> NDArray[Any]:
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise ValueError(f"{name} holds {values.dtype}, NaN or infinite values")
    return values
