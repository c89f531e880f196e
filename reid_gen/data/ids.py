"""Pids, cameras and names as they stand in tables, read in one way whatever the file."""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from reid_gen.data.tables import Column
from reid_gen.errors import join_some
from reid_gen.types import UNKNOWN, Int64Array

_TEXT = re.compile(r"(-?[0-9]+)(\.0*)?|nan|", re.IGNORECASE | re.ASCII)


def parse_id(value: object) -> int:
    """A pid, camera or frame from what stands in a table; nothing and NaN are ``UNKNOWN``.

    Args:
        value: A number, or its text.

    Raises:
        ValueError: If it is no whole number from -1 up, or so large that numbers beside it fall
            together in its type.
    """
    if isinstance(value, str | bytes):
        text = value if isinstance(value, str) else value.decode()
        parts = _TEXT.fullmatch(text.strip())
        if parts is None:
            raise ValueError(f"{text!r} is no whole number")
        value = int(parts[1]) if parts[1] else math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ValueError(f"{value!r} is no number")
    if value != value:
        return UNKNOWN
    most = 2**63 - 1 if isinstance(value, int | np.integer) else 2**53
    if not -1 <= value <= most or value != int(value):
        raise ValueError(f"{value!r} is no whole number from -1 up")
    return int(value)


def parse_ids(values: Column, name: str) -> Int64Array:
    """Pids, cameras or frames of all rows, [N]; ``UNKNOWN`` where there is nothing.

    Raises:
        ValueError: Naming the rows where something else stands.
    """
    if values.ndim != 1 or values.dtype.kind not in "iufUS":
        raise ValueError(
            f"{name} holds {values.dtype} {list(values.shape)}; whole numbers [N] are wanted"
        )
    distinct, place = np.unique(values.data, return_inverse=True)
    numbers = np.full(len(distinct), UNKNOWN, np.int64)
    refused = np.zeros(len(distinct), bool)
    for row, value in enumerate(distinct.tolist()):
        try:
            numbers[row] = parse_id(value)
        except ValueError:
            refused[row] = True
    mask = np.ma.getmaskarray(values)
    bad = np.flatnonzero(refused[place] & ~mask)
    if len(bad):
        rows = join_some(f"{values.data[row]!s} in row {row}" for row in bad)
        raise ValueError(
            f"{name} must be whole numbers from 0 up, or nothing where it is unknown: {rows}"
        )
    return np.where(mask, UNKNOWN, numbers[place])


def unique_names(values: Column, name: str) -> NDArray[np.str_]:
    """Names of images, [N], each once.

    Raises:
        ValueError: Naming the rows that have none, or the same.
    """
    if values.ndim != 1 or values.dtype.kind not in "iufUS":
        raise ValueError(f"{name} holds {values.dtype} {list(values.shape)}; text [N] is wanted")
    lacking = np.flatnonzero(np.ma.getmaskarray(values))
    if len(lacking):
        raise ValueError(f"{name} is null in row {join_some(lacking)}; name every image")
    texts = values.data.astype(str)
    _, first, place = np.unique(texts, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[place] != np.arange(len(texts)))
    if len(again):
        row = again[0]
        raise ValueError(
            f"{name} {str(texts[row])!r} stands in rows {first[place[row]]} and {row}, and "
            f"{len(again)} rows repeat one in all; name every image once"
        )
    return texts
