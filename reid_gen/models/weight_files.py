"""Where weights lie: names and endings of files, known before torch loads."""

from __future__ import annotations

from pathlib import Path

from reid_gen.errors import UserError
from reid_gen.files import WEIGHT_SUFFIXES, exists, is_file, old_of

ASSETS = Path(__file__).parent / "assets"
"""Encoders that come with the program, a checkpoint folder each."""
BUILT_IN = {"rendered": "resnet10t.rendered"}
"""Start weights by name -> whose backbone they are."""
ENCODER_FILE = "encoder.safetensors"
CARD_FILE = "card.json"
LAST_FOLDER = "last"
"""The checkpoint of the last epoch in a run folder."""


def built_in(name: str) -> Path | None:
    """The checkpoint folder of an encoder that comes with the program; None if there is none."""
    folders = ASSETS.iterdir() if ASSETS.is_dir() else ()
    return next((folder for folder in folders if folder.name == name), None)


def weight_file(weights: str | None) -> Path | None:
    """The file that ``weights`` names: built-in ones, or a path with a known suffix; else None."""
    if weights in BUILT_IN:
        return ASSETS / BUILT_IN[weights] / ENCODER_FILE
    return Path(weights) if weights and Path(weights).suffix.lower() in WEIGHT_SUFFIXES else None


def checkpoint_folder(path: Path) -> Path:
    """The checkpoint folder meant by a run, a checkpoint, its weight file or a built-in's name.

    Raises:
        UserError: If there is none.
    """
    last = path / LAST_FOLDER
    # A program that was killed while it replaced the folder left only the one before.
    places = [path, last if exists(last) else old_of(last)]
    if path.name == ENCODER_FILE:
        places.append(path.parent)
    if (own := built_in(str(path))) is not None:
        places.append(own)
    for folder in places:
        if is_file(folder / CARD_FILE) and is_file(folder / ENCODER_FILE):
            return folder
    if is_foreign(path):
        raise UserError(
            f"{path} is a checkpoint of another program; make a model of it: "
            f"reid-gen zoo import {path} --out DIR"
        )
    fault = (
        f"holds no checkpoint ({CARD_FILE} and {ENCODER_FILE})"
        if exists(path)
        else "does not exist"
    )
    raise UserError(
        f"{path} {fault}; give a run folder such as runs/NAME, its last/ folder, or a name that "
        "`reid-gen zoo list` shows"
    )


def is_foreign(path: Path) -> bool:
    """Whether a path is a weight file beside which no card of ours lies."""
    ours = path.name == ENCODER_FILE and is_file(path.parent / CARD_FILE)
    return is_file(path) and path.suffix.lower() in WEIGHT_SUFFIXES and not ours
