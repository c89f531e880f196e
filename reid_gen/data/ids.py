"""Parsing and checking of pids, cameras, frames and image names in columns of tables."""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from reid_gen.data.tables import Column
from reid_gen.errors import join_some
from reid_gen.types import UNKNOWN, Int64Array

_ID_TEXT = re.compile(r"(-?[0-9]+)(\.0*)?|nan|", re.IGNORECASE | re.ASCII)


def parse_id(value: object) -> int:
    """Parse a pid, camera or frame of a table; empty text and NaN are ``UNKNOWN``.

    Args:
        value: A number, or its text.

    Raises:
        ValueError: If the value is not an integer from -1 up, or is too large for its type to tell
            it from the next integer.
    """
    if isinstance(value, str | bytes):
        text = value if isinstance(value, str) else value.decode()
        match = _ID_TEXT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not an integer")
        value = int(match[1]) if match[1] else math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ValueError(f"{value!r} is not a number")
    if value != value:
        return UNKNOWN
    maximum = 2**63 - 1 if isinstance(value, int | np.integer) else 2**53
    if not -1 <= value <= maximum or value != int(value):
        raise ValueError(f"{value!r} is not an integer from -1 up")
    return int(value)


def parse_ids(values: Column, name: str) -> Int64Array:
    """Parse a column of pids, cameras or frames to [N] int64; ``UNKNOWN`` where it is empty.

    Args:
        values: The column.
        name: Its name, for messages.

    Raises:
        ValueError: Naming the rows with invalid values.
    """
    if values.ndim != 1 or values.dtype.kind not in "iufUS":
        raise ValueError(
            f"{name} holds {values.dtype} {list(values.shape)}; it must hold integers [N]"
        )
    distinct, inverse = np.unique(values.data, return_inverse=True)
    numbers = np.full(len(distinct), UNKNOWN, np.int64)
    is_invalid = np.zeros(len(distinct), bool)
    for position, value in enumerate(distinct.tolist()):
        try:
            numbers[position] = parse_id(value)
        except ValueError:
            is_invalid[position] = True
    mask = np.ma.getmaskarray(values)
    invalid_rows = np.flatnonzero(is_invalid[inverse] & ~mask)
    if len(invalid_rows):
        rows = join_some(f"{values.data[row]!s} in row {row}" for row in invalid_rows)
        raise ValueError(f"{name} must be integers from 0 up, or empty where unknown: {rows}")
    return np.where(mask, UNKNOWN, numbers[inverse])


def unique_names(values: Column, name: str) -> NDArray[np.str_]:
    """Return a column of image names as text, [N], after a check that they are unique.

    Args:
        values: The column.
        name: Its name, for messages.

    Raises:
        ValueError: Naming the rows that have no name, or the same name.
    """
    if values.ndim != 1 or values.dtype.kind not in "iufUS":
        raise ValueError(f"{name} holds {values.dtype} {list(values.shape)}; it must hold text [N]")
    null_rows = np.flatnonzero(np.ma.getmaskarray(values))
    if len(null_rows):
        raise ValueError(f"{name} is null in row {join_some(null_rows)}; name every image")
    texts = values.data.astype(str)
    _, first_row, inverse = np.unique(texts, return_index=True, return_inverse=True)
    duplicates = np.flatnonzero(first_row[inverse] != np.arange(len(texts)))
    if len(duplicates):
        row = duplicates[0]
        raise ValueError(
            f"{name} {str(texts[row])!r} is in rows {first_row[inverse[row]]} and {row}, and "
            f"{len(duplicates)} rows are duplicates in all; name every image once"
        )
    return texts
