"""Blocks of rows as Parquet files, and the folder that holds those of a job or of a shard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from reid_gen.data.headers import differing_keys
from reid_gen.data.images import UnreadableImage, unreadable_error
from reid_gen.data.tables import parquet_bytes
from reid_gen.errors import UserError, join_some
from reid_gen.files import as_json, partial_path, read_json, write_bytes, write_json

FORMAT = 1
"""Version of the header."""
HEADER = "_job.json"
"""File that describes the job; readers of Parquet folders skip names that begin with ``_``."""
_UNREADABLE = "unreadable"
"""Key in the metadata of a Parquet file."""


@dataclass(frozen=True)
class Block:
    """Rows that were computed from the images of a block.

    Attributes:
        columns: Columns [n] or [n, D] of numbers, text or bytes objects.
        unreadable: Images that do not decode; they have no row.
    """

    columns: Mapping[str, NDArray[Any]]
    unreadable: tuple[UnreadableImage, ...] = ()

    def encode(self) -> bytes:
        """Encode the block as a Parquet file."""
        failures = [(str(failure.path), failure.reason) for failure in self.unreadable]
        return parquet_bytes(self.columns, {_UNREADABLE: as_json(failures, indent=None)})


def _read_block(file: Path, names: Sequence[str] | None = None) -> Block:
    """Read the columns ``names`` of a block; None reads all."""
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as content:
            table = content.read(columns=names)
            failures = json.loads(content.schema_arrow.metadata[_UNREADABLE.encode()])
        columns = {name: _to_numpy(table[name].combine_chunks()) for name in table.column_names}
        unreadable = tuple(UnreadableImage(Path(path), reason) for path, reason in failures)
    except Exception as error:  # a damaged file raises almost anything
        reason = str(error).split("\n")[0]
        raise UserError(
            f"{file} is damaged ({reason}); remove it and run the command that wrote it again"
        ) from error
    return Block(columns, unreadable)


def _to_numpy(values: Any) -> NDArray[Any]:
    from pyarrow import types

    if types.is_string(values.type):
        return np.array(values.to_pylist(), dtype=str)
    if types.is_binary(values.type):
        return np.array(values.to_pylist(), dtype=object)
    if types.is_fixed_size_list(values.type):
        flat = values.flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat).reshape(len(values), values.type.list_size)
    return np.asarray(values.to_numpy(zero_copy_only=False))


class _Header(TypedDict):
    """Keys of a header that are read here; further ones are the facts of the job."""

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    command: str
    shard: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)]
    images: int
    images_sha256: str
    blocks: Annotated[int, Field(ge=1)]


_HEADER = TypeAdapter(_Header)


class BlockFolder:
    """Folder with a header and a Parquet file for each block that is complete.

    Args:
        path: The folder.
        header: Description of the job.
        shard: Index of the shard, from 0, and number of shards; a shard holds every n-th block.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], shard: tuple[int, int]) -> None:
        self.path = path
        self.header: dict[str, Any] = json.loads(as_json(header))
        self.shard = shard

    @property
    def shard_name(self) -> str:
        """The shard as ``i/n``, counted from 1."""
        return f"{self.shard[0] + 1}/{self.shard[1]}"

    @property
    def numbers(self) -> range:
        """Numbers of the shard's blocks."""
        return range(self.shard[0], self.header["blocks"], self.shard[1])

    def start(self) -> None:
        """Create the folder, or check that an existing one belongs to the same shard and job.

        Raises:
            UserError: If it belongs to another one or holds other files, or cannot be written.
        """
        file = self.path / HEADER
        if not file.exists():
            if self.path.exists() and any(p != partial_path(file) for p in self.path.iterdir()):
                raise UserError(f"{self.path} is not empty and holds no {HEADER}; remove it")
            write_json(file, {**self.header, "shard": [self.shard[0] + 1, self.shard[1]]})
            return
        existing = open_folder(self.path)
        differing = differing_keys(existing.header, self.header)
        differing += ["shard"] * (existing.shard != self.shard)
        if differing:
            raise UserError(
                f"{self.path} holds blocks of a command with other {join_some(differing)}; remove "
                "it, or give another --out"
            )

    def file(self, number: int) -> Path:
        """Path of a block once it is complete."""
        return self.path / f"block-{number:06d}.parquet"

    def missing(self) -> list[int]:
        """List the shard's blocks that are not complete."""
        return [number for number in self.numbers if not self.file(number).is_file()]

    def write(self, number: int, content: bytes) -> None:
        """Write an encoded block atomically.

        Raises:
            UserError: If it cannot be written.
        """
        write_bytes(self.file(number), content)

    def refuse_unreadable(self) -> None:
        """Check that all images decode; blocks with other images are removed.

        Raises:
            UserError: Listing the paths of the images that do not decode.
        """
        failures: list[UnreadableImage] = []
        for number in self.numbers:
            if unreadable := _read_block(self.file(number), ()).unreadable:
                failures += unreadable
                # A later command finds the image replaced.
                self.file(number).unlink()
        if failures:
            raise unreadable_error(failures)


def open_folder(path: Path) -> BlockFolder:
    """Open an existing folder of blocks.

    Raises:
        UserError: If the folder has no header, or the header is damaged or of another version.
    """
    try:
        header = read_json(path / HEADER)
        index, count = _HEADER.validate_python(header)["shard"]
        if index > count:
            raise ValueError(f"shard {index} of {count}")
    except (OSError, ValueError) as error:
        fault = error.errors()[0] if isinstance(error, ValidationError) else None
        reason = (
            str(error) if fault is None else f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
        )
        raise UserError(
            f"{path} is no shard ({HEADER}: {reason}); give folders that a command with --shard "
            "wrote"
        ) from error
    del header["shard"]
    return BlockFolder(path, header, (index - 1, count))


def read_blocks(folders: Sequence[BlockFolder]) -> Iterator[Block]:
    """Read all blocks of a job in order.

    Args:
        folders: All shards of the job, in order.

    Raises:
        UserError: If a block is damaged.
    """
    for number in range(folders[0].header["blocks"]):
        yield _read_block(folders[number % len(folders)].file(number))
