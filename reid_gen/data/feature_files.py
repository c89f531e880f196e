"""Reading features from .npy, .npz and .parquet files, with or without keys and labels."""

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
"""Rows that are normalised at once."""


@dataclass(frozen=True)
class Features:
    """Content of a feature file.

    Attributes:
        source: The file.
        features: Features, [N, D] float32 or float16; memory-mapped if the file is ``.npy``.
        names: Keys of the images, [N]; None if the file has none.
        paths: Paths of the images at extraction, [N]; None if the file has none.
        pids: Person ids, [N], ``UNKNOWN`` where unknown or junk; None if all are.
        camids: Cameras, [N], ``UNKNOWN`` where unknown.
    """

    source: Path
    features: Float32Array
    names: NDArray[np.str_] | None
    paths: NDArray[np.str_] | None
    pids: Int64Array | None
    camids: Int64Array

    @property
    def keys(self) -> NDArray[np.str_]:
        """Keys of the images, [N]; row numbers if the file has no keys."""
        return np.arange(len(self.features)).astype(str) if self.names is None else self.names


def read_features(path: Path, normalise: bool = False) -> Features:
    """Read a feature file.

    Args:
        path: ``.npy`` with [N, D]; ``.npz`` or ``.parquet`` with ``feature`` and optionally
            ``key``, ``path``, ``pid`` and ``camid``, as `reid-gen extract` writes them.
        normalise: Whether to L2-normalise each row; the file is then held in memory.

    Raises:
        UserError: If the file does not exist or is no valid feature file.
    """
    if path.suffix not in READABLE_SUFFIXES:
        raise UserError(f"{path} must end in {', '.join(READABLE_SUFFIXES)}")
    if not path.is_file():
        raise UserError(f"no features at {path}; check the path")
    try:
        try:
            features, columns = _read_columns(path)
        except (OSError, UserError):
            raise
        except Exception as error:  # a damaged file raises almost anything
            raise ValueError(str(error) or type(error).__name__) from error
        if features.ndim != 2 or features.dtype.kind != "f":
            raise ValueError(
                f"{FEATURE} holds {features.dtype} {list(features.shape)}; it must hold "
                "floating-point numbers [N, D]"
            )
        for name, values in columns.items():
            if len(values) != len(features):
                raise ValueError(f"{name} has {len(values)} rows and {FEATURE} has {len(features)}")
        if normalise:
            features = _l2_normalise(features)
        elif features.dtype not in (np.float32, np.float16):
            with np.errstate(over="ignore"):  # `check_features` reports infinity by row
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
        raise UserError(f"{path} is not a readable feature file: {reason}") from error
    return Features(path, features, names, paths, pids if (pids >= 0).any() else None, camids)


def _read_columns(path: Path) -> tuple[NDArray[Any], dict[str, Column]]:
    """Read the features and the other columns of a file."""
    names = (FEATURE, KEY, PATH, PID, CAMID)
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r", allow_pickle=False), {}
    if path.suffix == ".npz":
        arrays = read_npz(path, names)
        features = arrays.pop(FEATURE)
        columns = {name: np.ma.MaskedArray(np.atleast_1d(a)) for name, a in arrays.items()}
    else:
        arrow_arrays = read_parquet(path, names)
        features = _stack_lists(arrow_arrays.pop(FEATURE))
        columns = {name: arrow_column(values, name) for name, values in arrow_arrays.items()}
    return features, columns


def _stack_lists(values: Any) -> NDArray[Any]:
    """Stack an arrow array of lists to rows [N, D].

    Raises:
        ValueError: Naming the rows that are null, contain a null, or differ in length from most.
    """
    from pyarrow import compute, types

    kind = values.type
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        raise ValueError(f"{FEATURE} holds {kind}; it must hold lists of numbers")
    flat = values.flatten()
    if not types.is_floating(flat.type):
        raise ValueError(f"{FEATURE} holds {kind}; it must hold floating-point numbers")
    lengths = compute.list_value_length(values).fill_null(-1).to_numpy(zero_copy_only=False)
    _check_rows(lengths < 0, "null")
    dimension = int(np.bincount(lengths).argmax()) if len(lengths) else 0
    _check_rows(lengths != dimension, f"not of the length of most, {dimension}")
    is_null = flat.is_null().to_numpy(zero_copy_only=False).reshape(-1, max(dimension, 1))
    _check_rows(is_null.any(axis=1), "null in part")
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(lengths), dimension)


def _l2_normalise(features: NDArray[Any]) -> Float32Array:
    """L2-normalise rows to [N, D] float32; in float64, scaled by each row's maximum.

    Squares of large or small values would overflow or underflow otherwise.
    """
    result = np.empty(features.shape, np.float32)
    for start in range(0, len(features), _BLOCK):
        block = np.asarray(features[start : start + _BLOCK], np.float64)
        maximum = np.abs(block).max(axis=1, keepdims=True, initial=0)
        _check_rows(~np.isfinite(maximum[:, 0]), "not finite", start)
        _check_rows(maximum[:, 0] == 0, "all 0, which have no direction", start)
        block = block / maximum
        result[start : start + _BLOCK] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return result


def _check_rows(invalid: NDArray[np.bool_], fault: str, start: int = 0) -> None:
    """Check that no row is invalid.

    Args:
        invalid: Whether each row is invalid, [B].
        fault: What is wrong with invalid rows.
        start: Number of the first row.

    Raises:
        ValueError: Naming the first invalid rows.
    """
    rows = np.flatnonzero(invalid) + start
    if len(rows):
        raise ValueError(
            f"{len(rows)} rows of {FEATURE} are {fault}: {join_some(rows)}; leave them out"
        )
