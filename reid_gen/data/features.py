"""Files of features from anywhere, and tables of what was found in them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid_gen.errors import UserError
from reid_gen.extras import need
from reid_gen.files import write_bytes
from reid_gen.types import Floats, Ints

READ = (".npy", ".npz", ".parquet")
WRITTEN = (".csv", ".npz", ".parquet")
FEATURE_TABLES = (".npz", ".parquet")
FEATURE, KEY, PID, CAMID = "feature", "key", "pid", "camid"


@dataclass(frozen=True)
class Features:
    """What a file holds.

    Attributes:
        features: [N, D] float32 or float16; of a ``.npy`` file, mapped and not read.
        keys: Names of the images, [N]; their numbers if the file has none.
        pids: [N]; None if the file has none.
        camids: [N]; None if the file has none.
    """

    features: Floats
    keys: NDArray[np.str_]
    pids: Ints | None
    camids: Ints | None


def read_features(path: Path, normalise: bool = False) -> Features:
    """Read features.

    Args:
        path: ``.npy`` with [N, D]; ``.npz`` or ``.parquet`` with ``feature`` and, if they are
            there, ``key``, ``pid`` and ``camid``, as `reid-gen extract` writes them.
        normalise: Whether to divide each row by its length, which needs memory for all of them.

    Raises:
        UserError: If there is no such file, or it holds something else.
    """
    if path.suffix not in READ:
        raise UserError(f"{path} must end in {', '.join(READ)}")
    if not path.is_file():
        raise UserError(f"no features at {path}; check the path")
    columns = _columns(path)
    if FEATURE not in columns:
        raise UserError(f"{path} has no column {FEATURE!r}, but {', '.join(columns)}")
    features = columns[FEATURE]
    if features.ndim != 2 or features.dtype.kind != "f":
        raise UserError(
            f"{path} holds {features.dtype} {list(features.shape)}; numbers [N, D] are wanted"
        )
    if normalise:
        features = np.asarray(features, np.float32)
        length = np.linalg.norm(features, axis=1, keepdims=True)
        features = features / np.where(length > 0, length, 1)
    elif features.dtype == np.float64:
        features = features.astype(np.float32)
    count = len(features)
    for name, values in columns.items():
        if len(values) != count:
            raise UserError(f"{path}: {name} has {len(values)} rows and {FEATURE} has {count}")
    keys = columns.get(KEY, np.arange(count))
    pids, camids = (columns.get(name) for name in (PID, CAMID))
    return Features(
        features,
        np.asarray(keys).astype(str),
        None if pids is None else np.asarray(pids, np.int64),
        None if camids is None else np.asarray(camids, np.int64),
    )


def _columns(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if path.suffix == ".npy":
            return {FEATURE: np.load(path, mmap_mode="r", allow_pickle=False)}
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        return _parquet_columns(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"{path} is no readable file of features ({reason})") from error


def _parquet_columns(path: Path) -> dict[str, NDArray[Any]]:
    need("reading .parquet", "pyarrow", instead="take .npz")
    from pyarrow import parquet

    table = parquet.read_table(path)
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    found = {}
    for name, values in columns.items():
        if name == FEATURE:
            flat = values.flatten().to_numpy(zero_copy_only=False)
            found[name] = flat.reshape(len(values), -1)
        elif name in (KEY, PID, CAMID):
            found[name] = values.to_numpy(zero_copy_only=False)
    return found


def check_table(target: Path, formats: Sequence[str] = WRITTEN) -> None:
    """Stop before any work if a table has another ending than those of ``formats``.

    Raises:
        UserError: If so, or if writing it needs a package that is not installed.
    """
    if target.suffix not in formats:
        raise UserError(f"{target} must end in {' or '.join(formats)}")
    if target.suffix == ".parquet":
        need("writing .parquet", "pyarrow", instead="take .npz")


def write_table(columns: Mapping[str, NDArray[Any]], target: Path) -> None:
    """Write columns [N] of one length by the file's ending; ``.csv`` alone takes none [N, D].

    Raises:
        UserError: If the file cannot be written.
    """
    buffer = io.BytesIO()
    if target.suffix == ".npz":
        np.savez(buffer, **dict(columns))  # type: ignore[arg-type]
    elif target.suffix == ".csv":
        lines = [",".join(columns)]
        lines += [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        buffer.write(("\n".join(lines) + "\n").encode())
    else:
        import pyarrow
        from pyarrow import parquet

        arrays = {
            name: pyarrow.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])
            if values.ndim == 2
            else values
            for name, values in columns.items()
        }
        parquet.write_table(pyarrow.table(arrays), buffer)
    write_bytes(target, buffer.getvalue())
