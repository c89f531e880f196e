"""Weights on disk: written aside and renamed, read strictly."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from reid_gen.errors import UserError
from reid_gen.files import written_aside
from reid_gen.models.encoder import EncoderCard, IdentityEncoder, create_encoder
from reid_gen.models.weights import ENCODER, SUFFIXES, built_in, load_strictly, read_weights
from reid_gen.types import Ints

FORMAT = 1
WEIGHTS = ".safetensors"
BANK = f"bank{WEIGHTS}"
CARD = "card.json"
MEAN = "mean_encoder"
RESUME = "resume.pt"
LAST = "last"


def save_checkpoint(
    target: Path,
    *,
    networks: Mapping[str, nn.Module],
    card: EncoderCard,
    about: Mapping[str, Any],
    bank: Mapping[str, Tensor],
    resume: Mapping[str, Any],
    save_more: Callable[[Path], None] | None = None,
) -> None:
    """Write a checkpoint folder, all of it or nothing.

    Args:
        target: The folder, such as ``runs/NAME/last``.
        networks: The identity encoder under ``encoder``, and others; each goes to its own file.
        card: What the encoder's weights belong to.
        about: More for the card: metrics, data fingerprint, settings.
        bank: Memory of the last epoch (``features``, ``labels``); empty before the first.
        resume: What only a resumed run needs.
        save_more: Writes more into the folder that it is given.

    Raises:
        UserError: If it cannot be written; an older checkpoint there stays as it was.
    """
    with written_aside(target) as aside:
        tensors = {name: network.state_dict() for name, network in networks.items()}
        for name, state in {**tensors, "bank": bank}.items():
            _save_tensors(state, aside / f"{name}{WEIGHTS}")
        (aside / RESUME).write_bytes(_pickled(resume))
        if save_more is not None:
            save_more(aside)
        described = {
            "format": FORMAT,
            "encoder": card.as_dict(),
            "sha256": hashlib.sha256((aside / ENCODER).read_bytes()).hexdigest(),
            **about,
        }
        (aside / CARD).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def _pickled(content: Mapping[str, Any]) -> bytes:
    """Through memory, because a full disk then raises OSError and not torch's RuntimeError."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    return buffer.getvalue()


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    ready = {name: value.contiguous().cpu() for name, value in tensors.items()}
    path.write_bytes(safetensors.torch.save(ready))


def load_networks(path: Path, networks: Mapping[str, nn.Module], *, if_there: bool = False) -> None:
    """Load the networks of a run or checkpoint folder.

    Args:
        path: The folder.
        networks: By the names they were saved under; changed in place.
        if_there: Whether a network that has no file may stay as it is.

    Raises:
        UserError: If there is no checkpoint, or a network does not fit.
    """
    folder = find_checkpoint(path)
    for name, network in networks.items():
        file = folder / f"{name}{WEIGHTS}"
        if file.is_file() or not if_there:
            load_strictly(network, read_weights(file), str(file))


def find_checkpoint(path: Path) -> Path:
    """The checkpoint folder meant by a run, a checkpoint, its weight file or a built-in's name.

    Raises:
        UserError: If there is none, or it is of another format.
    """
    places = [path, path / LAST, path.parent if path.name == ENCODER else path]
    if (own := built_in(str(path))) is not None:
        places.append(own)
    for folder in places:
        if (folder / CARD).is_file() and (folder / ENCODER).is_file():
            read_card(folder)
            return folder
    if is_foreign(path):
        raise UserError(
            f"{path} is a checkpoint of another program; make a model of it: "
            f"reid-gen zoo import {path} --out DIR"
        )
    raise UserError(
        f"{path} holds no checkpoint ({CARD} and {ENCODER}); "
        "give a run folder such as runs/NAME, its last/ folder, or a name that "
        "`reid-gen zoo list` shows"
    )


def is_foreign(path: Path) -> bool:
    """Whether a path is a weight file beside which no card of ours lies."""
    ours = path.name == ENCODER and (path.parent / CARD).is_file()
    return path.is_file() and path.suffix in SUFFIXES and not ours


def read_card(folder: Path) -> dict[str, Any]:
    """Read the card of a checkpoint folder.

    Raises:
        UserError: If it is damaged or of another format.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        number = card["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / CARD} is damaged; take another checkpoint") from error
    if number != FORMAT:
        raise UserError(
            f"{folder / CARD} has format {number}, this version reads format {FORMAT}; "
            "use the version of reid-gen that wrote it"
        )
    return dict(card)


def load_encoder(path: Path) -> tuple[IdentityEncoder, EncoderCard]:
    """Build the encoder of a run or checkpoint folder, in evaluation mode.

    Raises:
        UserError: If there is none, its weights are damaged, or they do not fit its card.
    """
    folder = find_checkpoint(path)
    described = read_card(folder)
    file = folder / ENCODER
    if hashlib.sha256(file.read_bytes()).hexdigest() != described["sha256"]:
        raise UserError(f"{file} does not match the checksum on its card; copy or train it again")
    card = EncoderCard(**described["encoder"])
    encoder = create_encoder(card)
    load_strictly(encoder, read_weights(file), str(file))
    return encoder.eval(), card


def load_labels(path: Path) -> Ints:
    """Pseudo labels of a run's last epoch, [N].

    Raises:
        UserError: If there is no checkpoint, or its last epoch clustered nothing.
    """
    file = find_checkpoint(path) / BANK
    bank = read_weights(file)
    if "labels" not in bank:
        raise UserError(
            f"{file} holds no pseudo labels: the last epoch clustered nothing; give a run that "
            "ended with a stage that trains the identity encoder"
        )
    labels: Ints = bank["labels"].numpy()
    return labels


def load_encoder_for(card: EncoderCard, path: Path) -> IdentityEncoder:
    """Load a checkpoint that must have been made for a given card.

    Raises:
        UserError: If it is another architecture or input size, or cannot be loaded.
    """
    encoder, found = load_encoder(path)
    differing = [
        f"{name} {value} instead of {card.as_dict()[name]}"
        for name, value in found.as_dict().items()
        if value != card.as_dict()[name]
    ]
    if differing:
        raise UserError(
            f"{path} was made for another encoder than the configuration's: "
            f"{', '.join(differing)}; use its own configuration (leave --config out)"
        )
    return encoder


def load_resume(folder: Path) -> dict[str, Any]:
    """Read what a resumed run needs.

    Raises:
        UserError: If the folder holds no resumable checkpoint.
    """
    file = folder / RESUME
    if not file.is_file():
        raise UserError(f"{folder} holds no {RESUME}, so this run cannot be resumed")
    return dict(torch.load(file, map_location="cpu", weights_only=True))
