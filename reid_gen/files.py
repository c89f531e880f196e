"""Files and folders that appear whole or not at all."""

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
"""File extensions that tell a weight file from a hub name."""
MARK = ".reid-gen.json"
"""In a folder that a command made: which command, and what it put there."""


def refuse_existing(target: Path, force: bool | None = None, maker: str | None = None) -> None:
    """Stop before any work if an output exists and is not to be replaced.

    A file is replaced where ``force`` says so. A folder is replaced only where the same command
    made it and it holds nothing else, for all that is in it goes.

    Args:
        target: File to write; a folder if there is a maker.
        force: Whether --force is given, which replaces it; None where there is no --force.
        maker: The command that makes a folder.

    Raises:
        UserError: If it exists and is not to be replaced.
    """
    if not os.path.lexists(target):
        return
    if maker is None and force is not None:
        _refuse_devices(target)
    if not force:
        way_out = "remove it, or choose" if force is None else "give --force to overwrite it, or"
        raise UserError(f"{target} exists; {way_out} another name")
    if maker is not None and (strange := _strange(target, maker)) is not None:
        raise UserError(f"{target} {strange}; --force replaces only that; give another name")


def _refuse_devices(target: Path) -> None:
    if target.exists() and not target.is_file():
        raise UserError(f"{target} is a folder or a device, and no file; give another name")


def _strange(folder: Path, maker: str) -> str | None:
    """Why a folder is more than what a command made; None if it is that alone."""
    if folder.is_symlink() or not folder.is_dir():
        return f"is no folder that `{maker}` made"
    if Path.cwd().is_relative_to(folder.resolve()):
        return f"is where this command runs, not only a folder that `{maker}` made"
    try:
        mark = read_json(folder / MARK)
        own = {*mark["files"], MARK} if mark["maker"] == maker else None
    except (OSError, ValueError, KeyError, TypeError):
        own = None
    if own is None:
        return f"is no folder that `{maker}` made"
    others = [name for name in _inside(folder) if name not in own]
    return f"holds more than `{maker}` made: {join_some(others)}" if others else None


def _inside(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def exists(path: Path) -> bool:
    """Whether a path is there; no for names that the system cannot have, where Path raises."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: Path) -> bool:
    """Whether a path is a file; as :func:`exists`."""
    return os.path.isfile(path)  # noqa: PTH113


def cannot_write(target: Path, error: Exception) -> UserError:
    """The message for a path that cannot be written."""
    reason = getattr(error, "strerror", None) or str(error)
    return UserError(f"cannot write {target}: {reason}; free some space or choose another place")


def partial_of(target: Path) -> Path:
    """Where a file lies until it is whole."""
    return target.with_name(f".{target.name}.partial")


def old_of(target: Path) -> Path:
    """Where the folder before the one at ``target`` lies: while it is replaced, or for longer."""
    return target.with_name(f".{target.name}.old")


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file aside and rename it; an older one stays if anything goes wrong.

    Raises:
        UserError: If it cannot be written, or a folder or a device has its name.
    """
    _refuse_devices(target)
    aside = partial_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        aside.replace(target)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise cannot_write(target, error) from error


def content_digest(path: Path) -> str:
    """SHA-256 of a file, or of all files in a folder with their names.

    Raises:
        UserError: If it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        inside = (file for file in sorted(path.rglob("*")) if file.is_file())
        for file in inside if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(path)} {file.stat().st_size}\n".encode())
            digest.update(read_regular(file))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot read {path}: {reason}; check the path") from error
    return digest.hexdigest()


def read_regular(path: Path) -> bytes:
    """Read a file; a FIFO would be waited for, and a device has no end.

    Raises:
        OSError: If it is no file, or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise OSError("it is a folder or a device, and no file")
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """Read plain values from a regular file.

    Raises:
        OSError: If it is no file, or cannot be read.
        ValueError: If it is no JSON.
    """
    try:
        return json.loads(read_regular(path).decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def as_json(content: object, indent: int | None = 2) -> str:
    """Plain values as JSON text; it has no number that is not finite, so that these become null.

    Args:
        content: Dictionaries, sequences, texts, numbers, truth values and None.
        indent: Spaces before what is inside; None is one line.
    """
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


def _finite(content: object) -> object:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content


def write_json(target: Path, content: object) -> None:
    """Write plain values like :func:`write_bytes`.

    Raises:
        UserError: If it cannot be written.
    """
    write_bytes(target, (as_json(content) + "\n").encode())


@contextmanager
def written_aside(target: Path, keep_old: bool = False, maker: str | None = None) -> Iterator[Path]:
    """Give a temporary folder that takes the place of ``target`` when all went well.

    Its name is new each time, so that workers of a killed program cannot write into it; what they
    left for the same target is removed. If it was killed while it replaced the target, the old one
    takes its place again first.

    Args:
        target: Folder to make or to replace.
        keep_old: Whether the folder that was there stays at :func:`old_of`.
        maker: The command, where :func:`refuse_existing` is to know its folder again.

    Yields:
        The temporary folder, beside the target.

    Raises:
        UserError: If it cannot be written (no space, no permission); the old target stays.
    """
    prefix, old = f"{partial_of(target).name}-", old_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if old.exists() and not target.exists():
            old.rename(target)
        for left in target.parent.iterdir():
            if left.name.startswith(prefix):
                shutil.rmtree(left, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        try:
            yield aside
            if maker is not None:
                # Files may have come into it since the command began.
                refuse_existing(target, True, maker)
                write_json(aside / MARK, {"maker": maker, "files": _inside(aside)})
            aside.chmod(0o755)
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
                target.rename(old)
            aside.rename(target)
            if not keep_old:
                shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except (OSError, SafetensorError) as error:  # the second: a full disk, as safetensors says it
        raise cannot_write(target, error) from error
