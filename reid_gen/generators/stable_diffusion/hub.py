"""Published weights in diffusers' format, from the hub or a folder."""

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


def load_pretrained(model_class: Any, source: str, dtype: torch.dtype, **extras: Any) -> Any:
    """Load a network or a pipeline of diffusers.

    Args:
        model_class: Class of the network or pipeline.
        source: Hub id or folder.
        dtype: Data type of the weights.
        extras: Further arguments of ``from_pretrained``.

    Raises:
        UserError: If the source holds none of this class.
    """
    location, local_only = locate(source)
    with user_error_on_failure(source, model_class.__name__, ADVICE):
        return model_class.from_pretrained(
            location, torch_dtype=dtype, local_files_only=local_only, **extras
        )


def load_network_config(
    model_class: Any, source: str, subfolder: str | None = None
) -> dict[str, Any]:
    """Load the config of a network, a small file, without its weights.

    Args:
        model_class: Class of the network, whose default arguments complete the config.
        source: Hub id or folder.
        subfolder: Subfolder of the network.

    Raises:
        UserError: If there is no such file.
    """
    location, local_only = locate(source)
    with user_error_on_failure(source, model_class.__name__, ADVICE):
        config = model_class.load_config(location, subfolder=subfolder, local_files_only=local_only)
    signature = inspect.signature(model_class.__init__).parameters
    return {name: parameter.default for name, parameter in signature.items()} | dict(config)


def locate(source: str) -> tuple[str, bool]:
    """Resolve a hub id or folder for diffusers.

    If the hub does not answer, earlier downloads are used; diffusers would retry for a minute.

    Returns:
        Hub id or path, and whether diffusers may use local files only.

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
def user_error_on_failure(source: str, kind: str, advice: str) -> Iterator[None]:
    """Turn errors of diffusers into one-line errors.

    Args:
        source: Hub id or path that is loaded.
        kind: What it is loaded as.
        advice: What the user can do.

    Raises:
        UserError: If loading fails.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first, _, rest = str(error).strip().partition("\n")
        reason = f"{first} {rest.strip().split(chr(10))[0]}" if first.endswith(":") else first
        raise UserError(f"{source} cannot be loaded as {kind} ({reason}); {advice}") from error
