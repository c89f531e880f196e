"""Weights that others published, by hub id or from a folder."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name
from safetensors import SafetensorError

from reid_gen.errors import UserError
from reid_gen.models.pretrained import unreachable_reason

ADVICE = "check the id and the network, or give a folder that diffusers wrote"


def load(kind: Any, source: str, dtype: torch.dtype, **extras: Any) -> Any:
    """Load a network or a pipeline of diffusers.

    Args:
        kind: Its class.
        source: Hub id or folder.
        dtype: Of its numbers.
        extras: More for ``from_pretrained``.

    Raises:
        UserError: If there is none of that kind.
    """
    place, here = locate(source)
    with loading(source, kind.__name__, ADVICE):
        return kind.from_pretrained(place, torch_dtype=dtype, local_files_only=here, **extras)


def settings_of(kind: Any, source: str, subfolder: str | None = None) -> dict[str, Any]:
    """What a network was built with: a small file beside its weights, which stay where they are.

    Args:
        kind: Class of the network, whose defaults stand for what the file does not say.
        source: Hub id or folder.
        subfolder: Of the network in it.

    Raises:
        UserError: If there is no such file.
    """
    place, here = locate(source)
    with loading(source, kind.__name__, ADVICE):
        found = kind.load_config(place, subfolder=subfolder, local_files_only=here)
    signature = inspect.signature(kind.__init__).parameters
    return {name: parameter.default for name, parameter in signature.items()} | dict(found)


def locate(source: str) -> tuple[str, bool]:
    """What to give to diffusers, and whether it may look on this machine alone.

    Without an answer of the hub it takes what was downloaded before, where it would try for a
    minute.

    Raises:
        UserError: If it is written as a path and is no folder, or cannot be downloaded.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return str(folder), True
    if source.startswith((".", "/", "~")):
        raise UserError(f"no folder of weights at {source}; check the path, or give a hub id")
    reason = unreachable_reason(constants.ENDPOINT)
    cached = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=source, repo_type="model"))
    if reason is not None and not cached.is_dir():
        raise UserError(
            f"{source} was not downloaded before, and {constants.ENDPOINT} does not answer: "
            f"{reason}; {ADVICE}"
        )
    return source, reason is not None


@contextmanager
def loading(source: str, kind: str, advice: str) -> Iterator[None]:
    """Say in one line what diffusers says in many.

    Raises:
        UserError: If something cannot be read.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first, _, more = str(error).strip().partition("\n")
        reason = f"{first} {more.strip().split(chr(10))[0]}" if first.endswith(":") else first
        raise UserError(f"{source} cannot be loaded as {kind} ({reason}); {advice}") from error
