"""Names and locations of weight files and checkpoint folders; does not import torch."""

from __future__ import annotations

from pathlib import Path

from reid_gen.errors import UserError
from reid_gen.files import WEIGHT_SUFFIXES, exists, is_file, previous_path

ASSETS = Path(__file__).parent / "assets"
"""Folder of the built-in encoders, with one checkpoint folder each."""
BUILT_IN = {"rendered": "resnet10t.rendered"}
"""Name of built-in initial weights -> built-in encoder whose backbone they are."""
ENCODER_FILE = "encoder.safetensors"
CARD_FILE = "card.json"
LAST_FOLDER = "last"
"""Name of the checkpoint of the last epoch in a run folder."""


def built_in(name: str) -> Path | None:
    """Checkpoint folder of a built-in encoder; None if there is none of that name."""
    folders = ASSETS.iterdir() if ASSETS.is_dir() else ()
    return next((folder for folder in folders if folder.name == name), None)


def weight_file(weights: str | None) -> Path | None:
    """File of built-in weights or of a path with a weight suffix; None for hub names and None."""
    if weights in BUILT_IN:
        return ASSETS / BUILT_IN[weights] / ENCODER_FILE
    return Path(weights) if weights and Path(weights).suffix.lower() in WEIGHT_SUFFIXES else None


def checkpoint_folder(path: Path) -> Path:
    """Find the checkpoint folder of a run, checkpoint, weight file or built-in encoder name.

    Raises:
        UserError: If there is none.
    """
    last = path / LAST_FOLDER
    # If the program was killed while it replaced the folder, only the previous one exists.
    candidates = [path, last if exists(last) else previous_path(last)]
    if path.name == ENCODER_FILE:
        candidates.append(path.parent)
    if (built_in_folder := built_in(str(path))) is not None:
        candidates.append(built_in_folder)
    for folder in candidates:
        if is_file(folder / CARD_FILE) and is_file(folder / ENCODER_FILE):
            return folder
    if is_foreign(path):
        raise UserError(
            f"{path} is a checkpoint of another toolbox; import it with: "
            f"reid-gen zoo import {path} --out DIR"
        )
    problem = (
        f"holds no checkpoint ({CARD_FILE} and {ENCODER_FILE})"
        if exists(path)
        else "does not exist"
    )
    raise UserError(
        f"{path} {problem}; give a run folder such as runs/NAME, its last/ folder, or a name that "
        "`reid-gen zoo list` shows"
    )


def is_foreign(path: Path) -> bool:
    """Whether a path is a weight file outside of a checkpoint folder of reid-gen."""
    has_card = path.name == ENCODER_FILE and is_file(path.parent / CARD_FILE)
    return is_file(path) and path.suffix.lower() in WEIGHT_SUFFIXES and not has_card
