"""Files of text prompts."""

from __future__ import annotations

from pathlib import Path

from reid_gen.data.text_lists import read_lines
from reid_gen.errors import UserError


def read_prompts(path: Path) -> tuple[str, ...]:
    """Read a text file with one prompt per line.

    Args:
        path: The file.

    Raises:
        UserError: If it is not text, is empty, or has an empty or duplicate line.
    """
    prompts = read_lines(path)
    if not prompts:
        raise UserError(f"{path} has no prompt; write one per line")
    for number, prompt in enumerate(prompts, 1):
        if not prompt:
            raise UserError(f"{path}:{number}: this line is empty; write a prompt or remove it")
        if prompt in prompts[: number - 1]:
            raise UserError(f"{path}:{number}: {prompt!r} is a duplicate; remove it")
    return tuple(prompts)
