"""Safe extraction of a data set's official archive: verified, atomic, and inside the root only."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from reid_gen.data.datasets import DATASETS, load_dataset
from reid_gen.errors import UserError, join_some

_DAMAGED_ARCHIVE_ERRORS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    # Encrypted members, and compression methods that this Python does not support.
    RuntimeError,
    # Names that are not UTF-8 or hold a null byte, and numbers out of range.
    ValueError,
    OverflowError,
    struct.error,
    MemoryError,
)
"""Errors that zipfile and tarfile raise for an archive that they cannot extract."""

_CHUNK = 1 << 20
MAX_RATIO, EXTRA_BYTES = 10, 100_000_000
"""Limit of the extracted size: 10 times the archive plus 100 MB. JPEGs hardly compress at all."""
DECOMPRESSORS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
"""First bytes of a compressed tar -> function that opens it."""


def prepare(name: str, archive: Path, root: Path) -> Path:
    """Extract an archive below ``root`` and check that it holds the data set.

    It is extracted to a temporary folder, which is renamed at the end: a failure leaves nothing.

    Args:
        name: A key of ``DATASETS`` that has official counts.
        archive: .zip, .tar, .tar.gz or .tgz file.
        root: Parent of the extracted folder.

    Returns:
        The extracted folder.

    Raises:
        UserError: If the archive is missing, damaged, unsafe or of another data set, if the
            extracted folder exists already, or if it cannot be written.
    """
    if name not in DATASETS or not DATASETS[name].official:
        known = [key for key, spec in DATASETS.items() if spec.official]
        raise UserError(f"{name!r} has no archive to unpack; known: {', '.join(known)}")
    if not archive.is_file():
        raise UserError(f"the archive {archive} does not exist; check --archive")
    top = _top_folder(archive)
    target = root / top
    if target.exists():
        raise UserError(f"{target} exists; remove it, or give another --root")
    try:
        with (
            _created_folder(root),
            tempfile.TemporaryDirectory(prefix=".unpacking-", dir=root) as temporary,
        ):
            _extract(archive, Path(temporary))
            _check_contents(name, archive, Path(temporary))
            (Path(temporary) / top).rename(target)
    except OSError as error:
        raise UserError(
            f"cannot unpack into {root}: {error.strerror or error}; free some space or choose "
            "another --root"
        ) from error
    return target


@contextmanager
def _created_folder(folder: Path) -> Iterator[None]:
    """Create a folder and its parents; if the block fails, remove those that were created."""
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for path in created:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        raise


def _top_folder(archive: Path) -> str:
    """Name of the only top folder of an archive, after a check of its members.

    Raises:
        UserError: If the archive is damaged, extracts to too many bytes, has members or links that
            lead out of the folder, or has no or several top folders.
    """
    max_bytes = EXTRA_BYTES + MAX_RATIO * archive.stat().st_size
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                entries = file.infolist()
            names, links, sizes = file.namelist(), [], [entry.file_size for entry in entries]
        else:
            _check_decompressed_size(archive, max_bytes)
            with _open_tar(archive) as tar:
                members = tar.getmembers()
                _check_end_of_archive(tar)
            names, sizes = [member.name for member in members], [member.size for member in members]
            links = [m.name for m in members if not (m.isfile() or m.isdir())]
    except (*_DAMAGED_ARCHIVE_ERRORS, OSError) as error:
        raise UserError(
            f"{archive} is not a readable archive: damaged, or neither .zip nor .tar; "
            "download it again"
        ) from error
    if sum(sizes) > max_bytes:
        raise _too_large(archive, max_bytes)
    paths = [PurePosixPath(name.replace("\\", "/")) for name in names]
    unsafe = [str(path) for path in paths if path.is_absolute() or ".." in path.parts] + links
    if unsafe:
        raise UserError(
            f"{archive} holds links or members that lead out of its folder: {join_some(unsafe)}; "
            "do not trust it"
        )
    tops = {path.parts[0] for path in paths if path.parts} - {"__MACOSX"}
    if len(tops) != 1:
        raise UserError(
            f"{archive} holds {len(tops)} top folders ({join_some(sorted(tops))}); an official "
            "archive has one"
        )
    return tops.pop()


def _too_large(archive: Path, max_bytes: int) -> UserError:
    return UserError(
        f"{archive} unpacks to more than {max_bytes // 10**6:,} MB, but photographs hardly "
        "compress; do not trust it"
    )


def _open_decompressed(archive: Path) -> IO[bytes]:
    with archive.open("rb") as file:
        head = file.read(6)
    opener = next((open_ for mark, open_ in DECOMPRESSORS.items() if head.startswith(mark)), None)
    return archive.open("rb") if opener is None else opener(archive)


@contextmanager
def _open_tar(archive: Path) -> Iterator[tarfile.TarFile]:
    with _open_decompressed(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        yield tar


def _check_decompressed_size(archive: Path, max_bytes: int) -> None:
    """Decompress in chunks and count bytes, before tarfile allocates what a header claims.

    Reading to the end also verifies gzip's checksum.
    """
    length = 0
    with _open_decompressed(archive) as stream:
        while chunk := stream.read(_CHUNK):
            length += len(chunk)
            if length > max_bytes:
                raise _too_large(archive, max_bytes)


def _check_end_of_archive(tar: tarfile.TarFile) -> None:
    """Check that the end-of-archive block follows the last member.

    Without this check, a tar that is truncated at a header, or whose next header is garbage, is
    read as a shorter one.
    """
    stream = tar.fileobj
    if stream is None:
        raise tarfile.ReadError("closed")
    stream.seek(tar.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end-of-archive block")


def _extract(archive: Path, folder: Path) -> None:
    """Extract an archive; zipfile verifies checksums and tarfile lengths."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                file.extractall(folder)
        else:
            with _open_tar(archive) as tar:
                tar.extractall(folder, filter=_data_filter_without_mtime)
    except _DAMAGED_ARCHIVE_ERRORS as error:
        raise UserError(f"{archive} is damaged ({error}); download it again") from error
    shutil.rmtree(folder / "__MACOSX", ignore_errors=True)


def _data_filter_without_mtime(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Apply Python's data filter and drop the time, which may be out of the system's range."""
    safe = tarfile.data_filter(member, folder)
    return safe.replace(mtime=None, deep=False)  # type: ignore[arg-type]


def _check_contents(name: str, archive: Path, folder: Path) -> None:
    try:
        load_dataset(name, folder)
    except UserError as error:
        reason = str(error).replace(str(folder), str(archive))
        raise UserError(
            f"{reason}; nothing was unpacked because this is not an official archive of {name}"
        ) from error
