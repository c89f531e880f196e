"""Weight files: reading them, and loading them strictly."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from reid_gen.errors import UserError, name_some

WRAPPERS = ("state_dict", "model", "teacher", "a")
"""Under which other programs keep the tensors; the last two are DINO's and GCL's."""
TRUNK = "backbone."

# Plain attributes: DINO and others keep what was typed beside their tensors.
torch.serialization.add_safe_globals([argparse.Namespace])


def read_backbone(path: Path) -> dict[str, Tensor]:
    """Read the weights of a backbone, or those of the backbone of one of our encoders.

    Raises:
        UserError: As :func:`read_weights`.
    """
    tensors = read_weights(path)
    own = {
        name.removeprefix(TRUNK): value for name, value in tensors.items() if name.startswith(TRUNK)
    }
    return own or tensors


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors file or of a plain torch state dict.

    Args:
        path: The file. A torch file may hold the tensors directly or under one of ``WRAPPERS``; it
            is read without running any code from it.

    Returns:
        Tensors by name.

    Raises:
        UserError: If the file is missing, is no weight file, or holds more than tensors.
    """
    if not path.is_file():
        raise UserError(f"weight file {path} does not exist; check encoder.weights or --checkpoint")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"{path} is no readable weight file ({reason}); a .safetensors file or a plain "
            "torch state dict is wanted"
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise UserError(f"{path} holds no plain mapping of names to tensors; save a state dict")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def load_strictly(
    module: nn.Module, tensors: Mapping[str, Tensor], source: str, left_out: Iterable[str] = ()
) -> tuple[str, ...]:
    """Load tensors into a module; every name and shape must fit.

    Args:
        module: Changed in place, only if everything fits.
        tensors: Tensors by name.
        source: Where they come from, for the message.
        left_out: Prefixes of names to pass over (a classifier that the module does not have).

    Returns:
        The names that were passed over.

    Raises:
        UserError: Naming the first five missing, unexpected and misshapen tensors.
    """
    prefixes = tuple(left_out)
    passed = tuple(name for name in tensors if prefixes and name.startswith(prefixes))
    wanted = module.state_dict()
    given = {name: value for name, value in tensors.items() if name not in passed}
    optional = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = [name for name in wanted if name not in given and name not in optional]
    unexpected = [name for name in given if name not in wanted]
    misshapen = [
        f"{name} {tuple(value.shape)} instead of {tuple(wanted[name].shape)}"
        for name, value in given.items()
        if name in wanted and value.shape != wanted[name].shape
    ]
    faults = {"missing": missing, "unexpected": unexpected, "wrong shape": misshapen}
    found = [f"{len(names)} {kind}: {name_some(names)}" for kind, names in faults.items() if names]
    if found:
        raise UserError(
            f"{source} does not fit this architecture: {'; '.join(found)}; "
            "give weights made for the configured encoder"
        )
    module.load_state_dict(given, strict=False)
    return passed
