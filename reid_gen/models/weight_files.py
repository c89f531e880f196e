"""Where weights lie: names and endings of files, known before torch loads."""

from __future__ import annotations

from pathlib import Path

from reid_gen.files import WEIGHT_SUFFIXES

ASSETS = Path(__file__).parent / "assets"
"""Encoders that come with the program, a checkpoint folder each."""
BUILT_IN = {"rendered": "resnet10t.rendered"}
"""Start weights by name -> whose backbone they are."""
ENCODER = "encoder.safetensors"


def built_in(name: str) -> Path | None:
    """The checkpoint folder of an encoder that comes with the program; None if there is none."""
    folders = ASSETS.iterdir() if ASSETS.is_dir() else ()
    return next((folder for folder in folders if folder.name == name), None)


def weight_file(weights: str | None) -> Path | None:
    """The file that ``weights`` names: built-in ones, or a path with a known suffix; else None."""
    if weights in BUILT_IN:
        return ASSETS / BUILT_IN[weights] / ENCODER
    return Path(weights) if weights and Path(weights).suffix.lower() in WEIGHT_SUFFIXES else None
