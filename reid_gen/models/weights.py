"""Backbone weights of a weight file, and strict loading (re-exported from ``tensors``)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from reid_gen.tensors import load_strictly as load_strictly
from reid_gen.tensors import read_weights as read_weights

PREFIX = "backbone."
"""Prefix of the backbone's weights in the state dict of an ``IdentityEncoder``."""


def read_backbone_weights(path: Path) -> dict[str, Tensor]:
    """Read the backbone weights of a file that holds a backbone or an ``IdentityEncoder``.

    Raises:
        UserError: As :func:`read_weights`.
    """
    tensors = read_weights(path)
    of_encoder = {
        name.removeprefix(PREFIX): value
        for name, value in tensors.items()
        if name.startswith(PREFIX)
    }
    return of_encoder or tensors
