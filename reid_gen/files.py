"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from reid_gen.errors import UserError


def refuse_existing(target: Path | None, force: bool) -> None:
    """Stop before any work if an output exists and is not to be overwritten; None is no output.

    Raises:
        UserError: If it exists and ``force`` is false.
    """
    if target is not None and target.exists() and not force:
        raise UserError(f"{target} exists; give --force to overwrite it, or another name")


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
        UserError: If it cannot be written.
    """
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
            digest.update(file.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot read {path}: {reason}; check the path") from error
    return digest.hexdigest()


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
def written_aside(target: Path, keep_old: bool = False) -> Iterator[Path]:
    """Give a temporary folder that takes the place of ``target`` when all went well.

    Its name is new each time, so that workers of a killed program cannot write into it; what they
    left for the same target is removed. If it was killed while it replaced the target, the old one
    takes its place again first.

    Args:
        target: Folder to make or to replace.
        keep_old: Whether the folder that was there stays at :func:`old_of`.

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
