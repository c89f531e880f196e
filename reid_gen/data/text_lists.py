"""Text files that people write: lists of paths or prompts, and manifests."""

from __future__ import annotations

import codecs
import io
from pathlib import Path

from reid_gen.errors import UserError

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # Before UTF-16, whose mark is the beginning of this one.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""First bytes of a file and the encoding that they stand for."""


def read_text(path: Path) -> str:
    """Read a file in UTF-8, or in another Unicode encoding that its first bytes name.

    Raises:
        UserError: If it is missing, no regular file, or no such text.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}; check the path")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the path") from error
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}:{line}: this is no text in UTF-8; save the file as UTF-8"
        ) from error
    if "\0" in text:
        raise UserError(f"{path} holds zero bytes, which are no text; save the file as UTF-8")
    return text


def read_lines(path: Path) -> list[str]:
    """Read lines, without white space around them; the last one may end or not.

    Raises:
        UserError: As :func:`read_text`.
    """
    # str.splitlines also splits at characters that may stand in a file name.
    return [line.strip() for line in io.StringIO(read_text(path), newline=None)]
