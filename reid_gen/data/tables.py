"""Tables of images in files: columns of .npz and .parquet, read within bounds, and written."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid_gen.errors import UserError, join_some
from reid_gen.extras import need
from reid_gen.files import write_bytes

WRITABLE_SUFFIXES = (".csv", ".npz", ".parquet")
Column = np.ma.MaskedArray[Any, Any]
"""Values of all rows; those that are null are masked."""
_ALWAYS, _EXPANSION = 2**26, 50
"""Bytes that any file may give, and how often its own size beyond them.

Features shrink to an eighth at best, while a few bytes can claim gigabytes.
"""
_LONGEST = 4096
"""Letters of a name: what operating systems allow for a path."""


def read_npz(path: Path, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read arrays, after a look at the sizes that their headers name.

    Args:
        path: The archive.
        names: Arrays that are read: the first must be there, others may be; all by default.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged, holds Python objects, or asks for far more memory than a file
            of its size can fill.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no .npz archive")
    try:
        with np.load(path, allow_pickle=False) as file:
            chosen = _chosen(file.files, file.files if names is None else names)
            for name in chosen:
                _check_header(file.zip, name)
            _check_expansion(path, sum(_entry(file.zip, name).file_size for name in chosen))
            return {name: file[name] for name in chosen}
    except (OSError, ValueError):
        raise
    except Exception as error:  # a damaged archive raises almost anything
        raise ValueError(str(error) or type(error).__name__) from error


def _chosen(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    if names and names[0] not in columns:
        raise ValueError(f"it has no column {names[0]!r}, but {join_some(columns)}")
    twice = [name for name in names if columns.count(name) > 1]
    if twice:
        raise ValueError(f"it has more than one column {twice[0]!r}")
    return [name for name in columns if name in names]


def _entry(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    plain = name in archive.NameToInfo
    return archive.getinfo(name if plain else f"{name}.npy")


def _check_header(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse an array whose header names another size than there is; memory is taken by it."""
    entry = _entry(archive, name)
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"{name} is of the unknown format {version[0]}.{version[1]}")
        shape, _, kind = read(stream)
        size = math.prod(shape) * kind.itemsize
        if not kind.hasobject and size != entry.file_size - stream.tell():
            raise ValueError(
                f"{name} claims {size:,} bytes and has {entry.file_size - stream.tell():,}"
            )


def _check_expansion(path: Path, size: int) -> None:
    most = _ALWAYS + _EXPANSION * path.stat().st_size
    if size > most:
        raise ValueError(
            f"it asks for {size:,} bytes of memory, and a file of its size may ask for {most:,}"
        )


def read_parquet(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Read columns as arrow arrays.

    Args:
        path: The file.
        names: Columns that are read: the first must be there, others may be.

    Raises:
        ValueError: If it has a name twice, or asks for far more memory than a file of its size can
            fill; a damaged file raises almost anything.
        UserError: If pyarrow is not installed.
    """
    need("reading .parquet", "pyarrow", instead="take .npz")
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        schema, about = file.schema_arrow, file.metadata
    chosen = _chosen(schema.names, names)
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    parts = [group.column(n) for group in groups for n in range(group.num_columns)]
    own = [part for part in parts if part.path_in_schema.split(".")[0] in chosen]
    sizes = (max(8 * part.num_values, part.total_uncompressed_size) for part in own)
    _check_expansion(path, sum(sizes))
    # As dictionaries long texts that repeat take their memory once, until they are checked.
    texts = [name for name in chosen if _is_text(schema.field(name).type)]
    with parquet.ParquetFile(path, read_dictionary=texts) as file:
        table = file.read(columns=chosen)
    return {name: table[name].combine_chunks() for name in chosen}


def arrow_column(values: Any, name: str) -> Column:
    """Plain values of an arrow array, [N].

    Raises:
        ValueError: If they are no numbers and no text, or a text is longer than a path can be.
    """
    import pyarrow
    from pyarrow import compute, types

    if types.is_dictionary(values.type):
        if _is_text(values.type.value_type):
            longest = compute.max(compute.utf8_length(values.dictionary)).as_py() or 0
            if longest > _LONGEST:
                raise ValueError(f"{name} has a text of {longest:,} letters; {_LONGEST:,} are most")
        values = values.dictionary_decode()
    if types.is_null(values.type):
        values = values.cast(pyarrow.int64())
    if types.is_decimal(values.type):
        values = values.cast(pyarrow.string())
    text = _is_text(values.type)
    if not (text or types.is_integer(values.type) or types.is_floating(values.type)):
        raise ValueError(f"{name} holds {values.type}; numbers or text are wanted")
    plain = values.fill_null("" if text else 0).to_numpy(zero_copy_only=False)
    mask = values.is_null().to_numpy(zero_copy_only=False)
    return np.ma.MaskedArray(plain.astype(str) if text else plain, mask)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def check_table(target: Path, formats: Sequence[str] = WRITABLE_SUFFIXES) -> None:
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
        UserError: If the file cannot be written, or a name in it is no text.
    """
    try:
        if target.suffix != ".npz":  # which takes any text
            for values in columns.values():
                if values.dtype.kind == "U":
                    np.char.encode(values, "utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{target} cannot hold the name {error.object!r}, which is no UTF-8; rename that file"
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


def _parquet(columns: Mapping[str, NDArray[Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    arrays = {
        name: pyarrow.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])
        if values.ndim == 2
        else values
        for name, values in columns.items()
    }
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(arrays), buffer)
    return buffer.getvalue()


_WRITERS = {".npz": _npz, ".csv": _csv, ".parquet": _parquet}
