"""Reading of text files that users write (lists, prompts, manifests) in any Unicode encoding."""

from __future__ import annotations

import codecs
import io
from pathlib import Path

from reid_gen.errors import UserError

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # Before UTF-16 LE, whose mark is a prefix of that of UTF-32 LE.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order mark at the beginning of a file -> its encoding."""


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in the Unicode encoding of its byte order mark.

    Raises:
        UserError: If it is missing, not a regular file, or not such text.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}; check the path")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the path") from error
    encodings = (name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark))
    encoding = next(encodings, "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: this is not UTF-8 text; save the file as UTF-8") from error
    if "\0" in text:
        raise UserError(f"{path} holds null bytes, so it is not text; save the file as UTF-8")
    return text


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file, stripped of white space.

    Raises:
        UserError: As :func:`read_text`.
    """
    # str.splitlines would also split at characters that may occur in a file name.
    return [line.strip() for line in io.StringIO(read_text(path), newline=None)]
