"""Unpacking an official archive: verified, atomic, nothing outside the target."""

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

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    # An encrypted member, or a compression that this Python does not know.
    RuntimeError,
    # Names that are no UTF-8 or hold a zero, and numbers out of range.
    ValueError,
    OverflowError,
    struct.error,
    MemoryError,
)
"""What the readers raise on an archive that they cannot unpack."""

_CHUNK = 1 << 20
MAX_RATIO, EXTRA_BYTES = 10, 100_000_000
"""An archive may unpack to 10 times its size and 100 MB: photographs are as large as packed."""
DECOMPRESSORS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
"""How packed tars begin -> what unpacks them."""


def prepare(name: str, archive: Path, root: Path) -> Path:
    """Unpack an archive under ``root`` and check that it holds the data set.

    All is unpacked beside its place and renamed at the end, so that a failure leaves nothing.

    Args:
        name: A key of the table of data sets.
        archive: .zip, .tar, .tar.gz or .tgz file.
        root: Where its top folder is to lie.

    Returns:
        The unpacked folder.

    Raises:
        UserError: If the archive is missing, damaged, unsafe or another data set's, if the target
            exists, or if it cannot be written.
    """
    if name not in DATASETS or not DATASETS[name].official:
        known = [key for key, entry in DATASETS.items() if entry.official]
        raise UserError(f"{name!r} has no archive to unpack; known: {', '.join(known)}")
    if not archive.is_file():
        raise UserError(f"the archive {archive} does not exist; check --archive")
    top = _top_folder(archive)
    target = root / top
    if target.exists():
        raise UserError(f"{target} exists; remove it, or give another --root")
    try:
        with (
            _folder_or_nothing(root),
            tempfile.TemporaryDirectory(prefix=".unpacking-", dir=root) as aside,
        ):
            _unpack(archive, Path(aside))
            _check_contents(name, archive, Path(aside))
            (Path(aside) / top).rename(target)
    except OSError as error:
        raise UserError(
            f"cannot unpack into {root}: {error.strerror or error}; free some space or choose "
            "another --root"
        ) from error
    return target


@contextmanager
def _folder_or_nothing(folder: Path) -> Iterator[None]:
    """Make a folder and those above it; take away what was made if the block fails."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for place in made:
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
        raise


def _top_folder(archive: Path) -> str:
    """Name of the one folder that all members lie in; refuses members that would escape."""
    room = EXTRA_BYTES + MAX_RATIO * archive.stat().st_size
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                members = file.infolist()
            names, links, sizes = file.namelist(), [], [one.file_size for one in members]
        else:
            _check_length(archive, room)
            with _open_tar(archive) as tar:
                found = tar.getmembers()
                _check_end(tar)
            names, sizes = [member.name for member in found], [member.size for member in found]
            links = [m.name for m in found if not (m.isfile() or m.isdir())]
    except (*_DAMAGE, OSError) as error:
        raise UserError(
            f"{archive} is no readable archive: damaged, or neither .zip nor .tar; "
            "download it again"
        ) from error
    if sum(sizes) > room:
        raise _too_large(archive, room)
    paths = [PurePosixPath(name.replace("\\", "/")) for name in names]
    bad = [str(path) for path in paths if path.is_absolute() or ".." in path.parts] + links
    if bad:
        raise UserError(
            f"{archive} holds links or members that lead out of its folder: {join_some(bad)}; "
            "do not trust it"
        )
    tops = {path.parts[0] for path in paths if path.parts} - {"__MACOSX"}
    if len(tops) != 1:
        raise UserError(
            f"{archive} holds {len(tops)} top folders ({join_some(sorted(tops))}); an official "
            "archive has one"
        )
    return tops.pop()


def _too_large(archive: Path, room: int) -> UserError:
    return UserError(
        f"{archive} unpacks to more than {room // 10**6:,} MB, and photographs hardly shrink; do "
        "not trust it"
    )


def _stream(archive: Path) -> IO[bytes]:
    with archive.open("rb") as file:
        head = file.read(6)
    opener = next((open_ for mark, open_ in DECOMPRESSORS.items() if head.startswith(mark)), None)
    return archive.open("rb") if opener is None else opener(archive)


@contextmanager
def _open_tar(archive: Path) -> Iterator[tarfile.TarFile]:
    with _stream(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        yield tar


def _check_length(archive: Path, room: int) -> None:
    """Unpack into nothing, before any reader asks for as much memory as a header says.

    It reads up to the end, where gzip's checksum lies.
    """
    length = 0
    with _stream(archive) as stream:
        while chunk := stream.read(_CHUNK):
            length += len(chunk)
            if length > room:
                raise _too_large(archive, room)


def _check_end(tar: tarfile.TarFile) -> None:
    """Look for the end mark.

    Without this, a tar that breaks off at a header, or whose next header is garbage, passes for a
    shorter one.
    """
    stream = tar.fileobj
    if stream is None:
        raise tarfile.ReadError("closed")
    stream.seek(tar.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end mark")


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack; both formats verify checksums or lengths while reading."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                file.extractall(folder)
        else:
            with _open_tar(archive) as tar:
                tar.extractall(folder, filter=_without_time)
    except _DAMAGE as error:
        raise UserError(f"{archive} is damaged ({error}); download it again") from error
    shutil.rmtree(folder / "__MACOSX", ignore_errors=True)


def _without_time(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Python's safe filter; times that no file system has would end the unpacking."""
    safe = tarfile.data_filter(member, folder)
    return safe.replace(mtime=None, deep=False)  # type: ignore[arg-type]


def _check_contents(name: str, archive: Path, folder: Path) -> None:
    try:
        load_dataset(name, folder)
    except UserError as error:
        reason = str(error).replace(str(folder), str(archive))
        raise UserError(
            f"{reason}; nothing is unpacked, for this is no official archive of {name}"
        ) from error
