"""Atomic writing of files and folders, and reading of JSON and regular files."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from reid_gen.errors import UserError, join_some

WEIGHT_SUFFIXES = frozenset({".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt"})
"""File extensions that distinguish a weight file from a hub name."""
MARK = ".reid-gen.json"
"""File in an output folder that names the command that wrote it, and the files it wrote."""


def check_overwrite(target: Path, force: bool | None = None, command: str | None = None) -> None:
    """Check, before any work, that an output does not exist or may be replaced.

    A file is replaced only with ``force``. A folder is also required to contain nothing but files
    that the same command wrote, because all of its content is deleted.

    Args:
        target: File to write, or folder if there is a command.
        force: Whether --force is given; None for commands without that option.
        command: Command that writes the folder; None for files.

    Raises:
        UserError: If the output exists and may not be replaced.
    """
    if not os.path.lexists(target):
        return
    if command is None and force is not None:
        _check_regular_file(target)
    if not force:
        way_out = "remove it, or choose" if force is None else "give --force to overwrite it, or"
        raise UserError(f"{target} exists; {way_out} another name")
    if command is not None and (reason := _why_not_replaceable(target, command)) is not None:
        raise UserError(
            f"{target} {reason}; --force replaces only output of that command; give another name"
        )


def _check_regular_file(target: Path) -> None:
    if target.exists() and not target.is_file():
        raise UserError(f"{target} is a folder or a device, not a regular file; give another name")


def _why_not_replaceable(folder: Path, command: str) -> str | None:
    """Return why a folder is not only output of a command; None if it is."""
    if folder.is_symlink() or not folder.is_dir():
        return f"is not a folder that `{command}` wrote"
    if Path.cwd().is_relative_to(folder.resolve()):
        return "is the current folder or contains it"
    try:
        mark = read_json(folder / MARK)
        written = {*mark["files"], MARK} if mark["maker"] == command else None
    except (OSError, ValueError, KeyError, TypeError):
        written = None
    if written is None:
        return f"is not a folder that `{command}` wrote"
    others = [name for name in _list_files(folder) if name not in written]
    return f"contains files that `{command}` did not write: {join_some(others)}" if others else None


def _list_files(folder: Path) -> list[str]:
    """List all paths below a folder, relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def exists(path: Path) -> bool:
    """Tell whether a path exists; False for names that are invalid, where ``Path`` raises."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: Path) -> bool:
    """Tell whether a path is a regular file; False for names that are invalid."""
    return os.path.isfile(path)  # noqa: PTH113


def cannot_write(target: Path, error: Exception) -> UserError:
    """Return the error for a path that cannot be written."""
    reason = getattr(error, "strerror", None) or str(error)
    return UserError(f"cannot write {target}: {reason}; free some space or choose another place")


def partial_path(target: Path) -> Path:
    """Return the path of a file while it is written."""
    return target.with_name(f".{target.name}.partial")


def previous_path(target: Path) -> Path:
    """Return the path of the folder that ``target`` replaces, or has replaced."""
    return target.with_name(f".{target.name}.old")


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file atomically: to a temporary file first, which is then renamed.

    An existing file stays if writing fails.

    Raises:
        UserError: If the file cannot be written, or if the target is a folder or a device.
    """
    _check_regular_file(target)
    aside = partial_path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        aside.replace(target)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise cannot_write(target, error) from error


def content_digest(path: Path) -> str:
    """Compute the SHA-256 of a file, or of the names and contents of all files in a folder.

    Raises:
        UserError: If a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        files = (file for file in sorted(path.rglob("*")) if file.is_file())
        for file in files if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(path)} {file.stat().st_size}\n".encode())
            digest.update(read_regular(file))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot read {path}: {reason}; check the path") from error
    return digest.hexdigest()


def read_regular(path: Path) -> bytes:
    """Read a regular file; FIFOs would block, and devices may have no end.

    Raises:
        OSError: If the path is not a regular file, or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise OSError("it is a folder or a device, not a regular file")
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """Read plain values from a JSON file.

    Raises:
        OSError: If the path is not a regular file, or cannot be read.
        ValueError: If the content is not JSON.
    """
    try:
        return json.loads(read_regular(path).decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def as_json(content: object, indent: int | None = 2) -> str:
    """Convert plain values to JSON text; NaN and infinite numbers, which JSON lacks, become null.

    Args:
        content: Dictionaries, sequences, strings, numbers, booleans and None.
        indent: Number of spaces per level; None writes a single line.
    """
    return json.dumps(_replace_non_finite(content), indent=indent, allow_nan=False)


def _replace_non_finite(content: object) -> object:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {name: _replace_non_finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_replace_non_finite(value) for value in content]
    return content


def write_json(target: Path, content: object) -> None:
    """Write plain values atomically to a JSON file.

    Raises:
        UserError: If the file cannot be written.
    """
    write_bytes(target, (as_json(content) + "\n").encode())


@contextmanager
def written_aside(
    target: Path, keep_old: bool = False, command: str | None = None
) -> Iterator[Path]:
    """Write a folder atomically: yield a temporary folder that replaces ``target`` on success.

    The temporary name is new each time, so that surviving workers of a killed process cannot write
    into it; leftovers of earlier processes for the same target are removed. If a process was killed
    while it replaced the target, the previous folder is restored first.

    Args:
        target: Folder to create or replace.
        keep_old: Whether the previous folder is kept at :func:`previous_path`.
        command: Command that writes the folder, recorded for :func:`check_overwrite`.

    Yields:
        The temporary folder, beside the target.

    Raises:
        UserError: If writing fails (no space, no permission); the previous folder stays.
    """
    prefix, old = f"{partial_path(target).name}-", previous_path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if old.exists() and not target.exists():
            old.rename(target)
        for path in target.parent.iterdir():
            if path.name.startswith(prefix):
                shutil.rmtree(path, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        try:
            yield aside
            if command is not None:
                # Files may have been added since the command started.
                check_overwrite(target, True, command)
                write_json(aside / MARK, {"maker": command, "files": _list_files(aside)})
            aside.chmod(0o755)
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
                target.rename(old)
            aside.rename(target)
            if not keep_old:
                shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except (OSError, SafetensorError) as error:  # the latter if the disk is full
        raise cannot_write(target, error) from error
