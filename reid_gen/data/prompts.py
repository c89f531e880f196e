"""Lists of what to ask for in words."""

from __future__ import annotations

from pathlib import Path

from reid_gen.errors import UserError


def read_prompts(path: Path) -> tuple[str, ...]:
    """Read a prompt per line.

    Args:
        path: Text file in UTF-8.

    Raises:
        UserError: If it cannot be read, is empty, or has an empty line or one line twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as a list of prompts: {error}") from error
    prompts = [line.strip() for line in lines]
    if not prompts:
        raise UserError(f"{path} has no prompt; write one per line")
    for number, prompt in enumerate(prompts, 1):
        if not prompt:
            raise UserError(f"{path}:{number}: this line is empty; write a prompt or remove it")
        if prompt in prompts[: number - 1]:
            raise UserError(f"{path}:{number}: {prompt!r} is there twice; remove one")
    return tuple(prompts)
