"""Unpacking an official archive: verified, atomic, nothing outside the target."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from reid_gen.data.datasets import DATASETS, load_dataset
from reid_gen.errors import UserError, name_some


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
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=root) as aside:
            _unpack(archive, Path(aside))
            load_dataset(name, Path(aside))
            (Path(aside) / top).rename(target)
    except OSError as error:
        raise UserError(
            f"cannot unpack into {root}: {error.strerror or error}; free some space or choose "
            "another --root"
        ) from error
    return target


def _top_folder(archive: Path) -> str:
    """Name of the one folder that all members lie in; refuses members that would escape."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                names, links = file.namelist(), []
        else:
            with tarfile.open(archive) as tar:
                members = tar.getmembers()
                names = [member.name for member in members]
                links = [m.name for m in members if not (m.isfile() or m.isdir())]
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise UserError(f"{archive} is no readable archive ({error}); download it again") from error
    paths = [PurePosixPath(name.replace("\\", "/")) for name in names]
    bad = [str(path) for path in paths if path.is_absolute() or ".." in path.parts] + links
    if bad:
        raise UserError(
            f"{archive} holds members that lead out of its folder: {name_some(bad)}; "
            "do not trust it"
        )
    tops = {path.parts[0] for path in paths if path.parts} - {"__MACOSX"}
    if len(tops) != 1:
        raise UserError(
            f"{archive} holds {len(tops)} top folders ({name_some(sorted(tops))}); an official "
            "archive has one"
        )
    return tops.pop()


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack; both formats verify checksums or lengths while reading."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                file.extractall(folder)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{archive} is damaged ({error}); download it again") from error
    shutil.rmtree(folder / "__MACOSX", ignore_errors=True)
