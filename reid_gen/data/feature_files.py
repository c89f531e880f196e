"""Files of features from anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid_gen.data.ids import parse_ids, unique_names
from reid_gen.data.tables import Column, arrow_column, read_npz, read_parquet
from reid_gen.errors import UserError, join_some
from reid_gen.types import UNKNOWN, Float32Array, Int64Array

READABLE_SUFFIXES = (".npy", ".npz", ".parquet")
FEATURE_TABLE_SUFFIXES = (".npz", ".parquet")
FEATURE, KEY, PATH, PID, CAMID = "feature", "key", "path", "pid", "camid"
_BLOCK = 65536


@dataclass(frozen=True)
class Features:
    """What a file holds.

    Attributes:
        source: The file.
        features: [N, D] float32 or float16; of a ``.npy`` file, mapped and not read.
        names: Keys of the images, [N]; None if the file has none.
        paths: Where the images lay, [N]; None if the file does not say.
        pids: [N], ``UNKNOWN`` where unknown or junk; None if none is known.
        camids: [N], ``UNKNOWN`` where unknown.
    """

    source: Path
    features: Float32Array
    names: NDArray[np.str_] | None
    paths: NDArray[np.str_] | None
    pids: Int64Array | None
    camids: Int64Array

    @property
    def keys(self) -> NDArray[np.str_]:
        """Names of the images, [N]; their numbers if the file has none."""
        return np.arange(len(self.features)).astype(str) if self.names is None else self.names


def read_features(path: Path, normalise: bool = False) -> Features:
    """Read features.

    Args:
        path: ``.npy`` with [N, D]; ``.npz`` or ``.parquet`` with ``feature`` and, if they are
            there, ``key``, ``path``, ``pid`` and ``camid``, as `reid-gen extract` writes them.
        normalise: Whether to divide each row by its length, which needs memory for all of them.

    Raises:
        UserError: If there is no such file, or it holds something else.
    """
    if path.suffix not in READABLE_SUFFIXES:
        raise UserError(f"{path} must end in {', '.join(READABLE_SUFFIXES)}")
    if not path.is_file():
        raise UserError(f"no features at {path}; check the path")
    try:
        try:
            features, columns = _contents(path)
        except (OSError, UserError):
            raise
        except Exception as error:  # a damaged file raises almost anything
            raise ValueError(str(error) or type(error).__name__) from error
        if features.ndim != 2 or features.dtype.kind != "f":
            raise ValueError(
                f"{FEATURE} holds {features.dtype} {list(features.shape)}; floating-point "
                "numbers [N, D] are wanted"
            )
        for name, values in columns.items():
            if len(values) != len(features):
                raise ValueError(f"{name} has {len(values)} rows and {FEATURE} has {len(features)}")
        if normalise:
            features = _unit_rows(features)
        elif features.dtype not in (np.float32, np.float16):
            with np.errstate(over="ignore"):  # `check_features` refuses infinity by row
                features = features.astype(np.float32)
        pids, camids = (
            parse_ids(columns[name], name) if name in columns else np.full(len(features), UNKNOWN)
            for name in (PID, CAMID)
        )
        names, paths = (
            unique_names(columns[name], name) if name in columns else None for name in (KEY, PATH)
        )
    except (OSError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"{path} is no readable file of features: {reason}") from error
    return Features(path, features, names, paths, pids if (pids >= 0).any() else None, camids)


def _contents(path: Path) -> tuple[NDArray[Any], dict[str, Column]]:
    """Features, and the other columns."""
    wanted = (FEATURE, KEY, PATH, PID, CAMID)
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r", allow_pickle=False), {}
    if path.suffix == ".npz":
        arrays = read_npz(path, wanted)
        features = arrays.pop(FEATURE)
        columns = {name: np.ma.MaskedArray(np.atleast_1d(a)) for name, a in arrays.items()}
    else:
        found = read_parquet(path, wanted)
        features = _lists(found.pop(FEATURE))
        columns = {name: arrow_column(values, name) for name, values in found.items()}
    return features, columns


def _lists(values: Any) -> NDArray[Any]:
    """Rows [N, D] of an arrow array of lists.

    Raises:
        ValueError: Naming the rows that are null, hold a null, or have another length than most.
    """
    from pyarrow import compute, types

    kind = values.type
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        raise ValueError(f"{FEATURE} holds {kind}; lists of numbers are wanted")
    flat = values.flatten()
    if not types.is_floating(flat.type):
        raise ValueError(f"{FEATURE} holds {kind}; floating-point numbers are wanted")
    lengths = compute.list_value_length(values).fill_null(-1).to_numpy(zero_copy_only=False)
    _refuse(lengths < 0, "null")
    usual = int(np.bincount(lengths).argmax()) if len(lengths) else 0
    _refuse(lengths != usual, f"not of the length of most, {usual}")
    width = max(usual, 1)
    null = flat.is_null().to_numpy(zero_copy_only=False).reshape(-1, width)
    _refuse(null.any(axis=1), "null in part")
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(lengths), usual)


def _unit_rows(features: NDArray[Any]) -> Float32Array:
    """Rows of length 1, [N, D] float32, in float64 so that no large or small number is lost."""
    result = np.empty(features.shape, np.float32)
    for start in range(0, len(features), _BLOCK):
        block = np.asarray(features[start : start + _BLOCK], np.float64)
        largest = np.abs(block).max(axis=1, keepdims=True, initial=0)
        _refuse(~np.isfinite(largest[:, 0]), "not finite", start)
        _refuse(largest[:, 0] == 0, "all 0, which have no direction", start)
        block = block / largest
        result[start : start + _BLOCK] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return result


def _refuse(bad: NDArray[np.bool_], what: str, start: int = 0) -> None:
    """Stop if a row is bad.

    Raises:
        ValueError: Naming the first rows.
    """
    rows = np.flatnonzero(bad) + start
    if len(rows):
        raise ValueError(
            f"{len(rows)} rows of {FEATURE} are {what}: {join_some(rows)}; leave them out"
        )
