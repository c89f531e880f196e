"""Weight files: which ones settings name, and what of them a backbone takes."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from reid_gen.tensors import SUFFIXES as SUFFIXES
from reid_gen.tensors import load_strictly as load_strictly
from reid_gen.tensors import read_weights as read_weights

ASSETS = Path(__file__).parent / "assets"
"""Encoders that come with the program, a checkpoint folder each."""
BUILT_IN = {"rendered": "resnet10t.rendered"}
"""Start weights by name -> whose backbone they are."""
ENCODER = "encoder.safetensors"
TRUNK = "backbone."


def built_in(name: str) -> Path | None:
    """The checkpoint folder of an encoder that comes with the program; None if there is none."""
    folders = ASSETS.iterdir() if ASSETS.is_dir() else ()
    return next((folder for folder in folders if folder.name == name), None)


def weight_file(weights: str | None) -> Path | None:
    """The file that ``weights`` names: built-in ones, or a path with a known suffix; else None."""
    if weights in BUILT_IN:
        return ASSETS / BUILT_IN[weights] / ENCODER
    return Path(weights) if weights and Path(weights).suffix.lower() in SUFFIXES else None


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
