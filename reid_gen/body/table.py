"""Body table: the body parameters of a data set's images, stored in one file."""

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
    """Body parameters of N images, one body per image.

    Attributes:
        keys: Image keys, paths relative to the root of the data set.
        pose: Rotation vectors in radians, root first, [N, 24, 3] float32.
        shape: Shape coefficients of the body model, [N, 10] float32.
        camera: Weak-perspective camera: scale and x, y translation in half heights of the image,
            [N, 3] float32.
        score: Confidence in 0..1, [N] float32; 1 for ground truth.
        size: Height and width in pixels of the image that the camera refers to, [N, 2] int64.
        source: Origin of the parameters, such as the estimator's name.
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
            expected, actual = (len(self.keys), *tail), getattr(self, name).shape
            if actual != expected:
                raise ValueError(f"{name}: expected {expected}, got {actual}")

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row index of each key."""
        return {key: row for row, key in enumerate(self.keys)}

    def select(self, keys: Sequence[str]) -> BodyTable:
        """Return the rows of ``keys``, in their order.

        Raises:
            UserError: If an image has no row, as in a table of another data set.
        """
        missing = [key for key in keys if key not in self.row_of]
        if missing:
            raise UserError(
                f"no body parameters for {len(missing)} of {len(keys)} images: "
                f"{join_some(missing)}; the file belongs to other images or is incomplete: "
                "run `reid-gen meshes` for these images"
            )
        rows = [self.row_of[key] for key in keys]
        columns = {name: getattr(self, name)[rows] for name in COLUMNS}
        return BodyTable(tuple(keys), **columns, source=self.source)

    def confidence_mask(self, keys: Sequence[str], min_score: float) -> NDArray[np.bool_]:
        """Return a mask of the N images whose body scores at least ``min_score``, [N].

        Raises:
            UserError: If an image has no row.
        """
        confident: NDArray[np.bool_] = self.select(keys).score >= min_score
        return confident


def join_tables(tables: Sequence[BodyTable]) -> BodyTable:
    """Concatenate tables of the same source."""
    keys = tuple(key for table in tables for key in table.keys)
    columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in COLUMNS}
    return BodyTable(keys, **columns, source=tables[0].source)


def save_table(table: BodyTable, path: Path) -> None:
    """Write a table to a compressed .npz file, about 0.4 KB per image.

    Raises:
        UserError: If the file cannot be written; an existing file is then left unchanged.
    """
    buffer = io.BytesIO()
    columns = {name: getattr(table, name) for name in COLUMNS}
    about = as_json({"format": FORMAT, "source": table.source}, None)
    np.savez_compressed(buffer, keys=np.array(table.keys), about=np.array(about), **columns)
    write_bytes(path, buffer.getvalue())


def load_table(path: Path) -> BodyTable:
    """Read a table.

    Raises:
        UserError: If the file is missing, or is no body table of a known format.
    """
    if not path.is_file():
        raise UserError(f"no body parameters at {path}; create them with `reid-gen meshes`")
    try:
        content = read_npz(path)
        about = json.loads(str(content["about"]))
        if about["format"] != FORMAT:
            raise UserError(
                f"{path} has format {about['format']}, this version reads format {FORMAT}; create "
                "it again with `reid-gen meshes`"
            )
        columns = {name: _check_numeric(content[name], name) for name in COLUMNS}
        keys = tuple(str(key) for key in content["keys"].tolist())
        return BodyTable(keys, **columns, source=str(about["source"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is no table of body parameters ({error}); create one with `reid-gen meshes`"
        ) from error


def _check_numeric(values: NDArray[Any], name: str) -> NDArray[Any]:
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise ValueError(f"{name} holds {values.dtype}, NaN or infinite values")
    return values
