"""Tables in files: reading columns of .npz and .parquet safely, and writing these and .csv."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid_gen.errors import UserError, join_some
from reid_gen.extras import need
from reid_gen.files import write_bytes

WRITABLE_SUFFIXES = (".csv", ".npz", ".parquet")
Column = np.ma.MaskedArray[Any, Any]
"""Values of a column; null values are masked."""
_MIN_BYTES, _MAX_EXPANSION = 2**26, 50
"""Limit of the memory that a file may take: a base, plus a multiple of the file's size.

Features compress to an eighth at best, while a crafted file of a few bytes can claim gigabytes.
"""
_MAX_TEXT = 4096
"""Longest text in characters: the longest path that operating systems allow."""


def read_npz(path: Path, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read arrays of an .npz archive, after a check of the sizes in their headers.

    Args:
        path: The archive.
        names: Arrays to read: the first is required, others are optional; None reads all.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged, holds Python objects, or needs far more memory than a file of
            its size can fill.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not an .npz archive")
    try:
        with np.load(path, allow_pickle=False) as file:
            selected = _select_columns(file.files, file.files if names is None else names)
            for name in selected:
                _check_header(file.zip, name)
            _check_expansion(path, sum(_zip_entry(file.zip, name).file_size for name in selected))
            return {name: file[name] for name in selected}
    except (OSError, ValueError):
        raise
    except Exception as error:  # a damaged archive raises almost anything
        raise ValueError(str(error) or type(error).__name__) from error


def _select_columns(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    if names and names[0] not in columns:
        raise ValueError(f"it has no column {names[0]!r}, only {join_some(columns)}")
    duplicates = [name for name in names if columns.count(name) > 1]
    if duplicates:
        raise ValueError(f"it has more than one column {duplicates[0]!r}")
    return [name for name in columns if name in names]


def _zip_entry(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    return archive.getinfo(name if name in archive.NameToInfo else f"{name}.npy")


def _check_header(archive: zipfile.ZipFile, name: str) -> None:
    """Check that an array has the size in its header, because NumPy allocates memory by it."""
    entry = _zip_entry(archive, name)
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise ValueError(f"{name} has the unknown format {version[0]}.{version[1]}")
        shape, _, dtype = read_header(stream)
        size = math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and size != entry.file_size - stream.tell():
            raise ValueError(
                f"{name} claims {size:,} bytes and has {entry.file_size - stream.tell():,}"
            )


def _check_expansion(path: Path, size: int) -> None:
    maximum = _MIN_BYTES + _MAX_EXPANSION * path.stat().st_size
    if size > maximum:
        raise ValueError(
            f"it needs {size:,} bytes of memory, and a file of its size may need {maximum:,}"
        )


def read_parquet(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Read columns of a .parquet file as arrow arrays.

    Args:
        path: The file.
        names: Columns to read: the first is required, others are optional.

    Raises:
        ValueError: If a name is there twice, or the file needs far more memory than its size can
            fill; a damaged file raises almost anything.
        UserError: If pyarrow is not installed.
    """
    need("reading .parquet", "pyarrow", instead="take .npz")
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
    selected = _select_columns(schema.names, names)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(n) for group in groups for n in range(group.num_columns)]
    chunks = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in selected]
    sizes = (max(8 * chunk.num_values, chunk.total_uncompressed_size) for chunk in chunks)
    _check_expansion(path, sum(sizes))
    # Read as dictionaries, repeated long texts take memory once, until their length is checked.
    text_columns = [name for name in selected if _is_text(schema.field(name).type)]
    with parquet.ParquetFile(path, read_dictionary=text_columns) as file:
        table = file.read(columns=selected)
    return {name: table[name].combine_chunks() for name in selected}


def arrow_column(values: Any, name: str) -> Column:
    """Convert an arrow array to a NumPy column, [N].

    Raises:
        ValueError: If it holds neither numbers nor text, or a text is longer than any path.
    """
    import pyarrow
    from pyarrow import compute, types

    if types.is_dictionary(values.type):
        if _is_text(values.type.value_type):
            longest = compute.max(compute.utf8_length(values.dictionary)).as_py() or 0
            if longest > _MAX_TEXT:
                raise ValueError(
                    f"{name} has a text of {longest:,} characters; at most {_MAX_TEXT:,} are read"
                )
        values = values.dictionary_decode()
    if types.is_null(values.type):
        values = values.cast(pyarrow.int64())
    if types.is_decimal(values.type):
        values = values.cast(pyarrow.string())
    is_text = _is_text(values.type)
    if not (is_text or types.is_integer(values.type) or types.is_floating(values.type)):
        raise ValueError(f"{name} holds {values.type}; it must hold numbers or text")
    filled = values.fill_null("" if is_text else 0).to_numpy(zero_copy_only=False)
    mask = values.is_null().to_numpy(zero_copy_only=False)
    return np.ma.MaskedArray(filled.astype(str) if is_text else filled, mask)


def _is_text(arrow_type: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(arrow_type) or types.is_large_string(arrow_type))


def check_table(target: Path, formats: Sequence[str] = WRITABLE_SUFFIXES) -> None:
    """Check, before any work, that a table can be written to a file of this suffix.

    Args:
        target: File to write.
        formats: Allowed suffixes.

    Raises:
        UserError: If the suffix is another one, or needs a package that is not installed.
    """
    if target.suffix not in formats:
        raise UserError(f"{target} must end in {' or '.join(formats)}")
    if target.suffix == ".parquet":
        need("writing .parquet", "pyarrow", instead="take .npz")


def write_table(columns: Mapping[str, NDArray[Any]], target: Path) -> None:
    """Write columns [N] or [N, D] in the format of the file's suffix; ``.csv`` takes [N] only.

    Raises:
        UserError: If the file cannot be written, or the format cannot hold one of the texts.
    """
    try:
        if target.suffix != ".npz":  # .npz also holds texts that are not valid UTF-8
            for values in columns.values():
                if values.dtype.kind == "U":
                    np.char.encode(values, "utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{target} cannot hold the name {error.object!r}, which is not UTF-8; rename that file"
        ) from error
    write_bytes(target, _WRITERS[target.suffix](columns))


def _npz(columns: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **dict(columns))  # type: ignore[arg-type]
    return buffer.getvalue()


def _csv(columns: Mapping[str, NDArray[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*(values.astype(str) for values in columns.values()), strict=True))
    return text.getvalue().encode()


def parquet_bytes(
    columns: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """Encode columns [N] or [N, D] as a .parquet file.

    Args:
        columns: Numbers, text or bytes objects.
        metadata: Texts to store in the file's schema.
    """
    import pyarrow
    from pyarrow import parquet

    arrays = {
        name: pyarrow.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])
        if values.ndim == 2
        else values
        for name, values in columns.items()
    }
    buffer = io.BytesIO()
    table = pyarrow.table(arrays)
    parquet.write_table(table.replace_schema_metadata(metadata) if metadata else table, buffer)
    return buffer.getvalue()


_WRITERS = {".npz": _npz, ".csv": _csv, ".parquet": parquet_bytes}
