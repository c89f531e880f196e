"""What of a weight file a backbone takes."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from reid_gen.tensors import load_strictly as load_strictly
from reid_gen.tensors import read_weights as read_weights

TRUNK = "backbone."


def read_backbone_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights of a backbone, or those of the backbone of one of our encoders.

    Raises:
        UserError: As :func:`read_weights`.
    """
    tensors = read_weights(path)
    own = {
        name.removeprefix(TRUNK): value for name, value in tensors.items() if name.startswith(TRUNK)
    }
    return own or tensors
