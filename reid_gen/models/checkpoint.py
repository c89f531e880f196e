"""Weights on disk: written aside and renamed, read strictly."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json
from torch import Tensor, nn

from reid_gen.errors import UserError, join_some
from reid_gen.files import as_json, written_aside
from reid_gen.models.encoder import EncoderCard, IdentityEncoder, create_encoder
from reid_gen.models.weight_files import CARD_FILE, ENCODER_FILE, checkpoint_folder
from reid_gen.models.weights import load_strictly, read_weights
from reid_gen.types import Int64Array

FORMAT = 1
WEIGHTS_SUFFIX = ".safetensors"
BANK_FILE = f"bank{WEIGHTS_SUFFIX}"
EMA_ENCODER = "ema_encoder"
RESUME_FILE = "resume.pt"
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Card(BaseModel):
    """What ``card.json`` may say. What follows ``sha256`` (of the encoder) not all writers say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: int
    encoder: EncoderCard
    sha256: Sha256
    files: dict[str, Sha256] = {}
    epochs: Annotated[int, Field(ge=0)] = 0
    metrics: dict[str, float | int | str] = {}
    protocol: dict[str, Any] = {}
    data: dict[str, Any] = {}
    generator: str | None = None
    source: dict[str, Any] = {}


def save_checkpoint(
    target: Path,
    *,
    networks: Mapping[str, nn.Module],
    card: EncoderCard,
    about: Mapping[str, Any],
    bank: Mapping[str, Tensor],
    resume: Mapping[str, Any],
    save_more: Callable[[Path], None] | None = None,
    keep_old: bool = False,
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
        keep_old: Whether the checkpoint that was there stays, as :func:`written_aside` says.

    Raises:
        UserError: If it cannot be written; an older checkpoint there stays as it was.
    """
    with written_aside(target, keep_old) as aside:
        tensors = {name: network.state_dict() for name, network in networks.items()}
        for name, state in {**tensors, "bank": bank}.items():
            _save_tensors(state, aside / f"{name}{WEIGHTS_SUFFIX}")
        (aside / RESUME_FILE).write_bytes(_pickled(resume))
        if save_more is not None:
            save_more(aside)
        files = _digests(aside)
        described = {
            "format": FORMAT,
            "encoder": card.as_dict(),
            "sha256": files[ENCODER_FILE],
            "files": files,
            **about,
        }
        (aside / CARD_FILE).write_text(as_json(described) + "\n", encoding="utf-8")


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder but its card, by name."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / CARD_FILE
    }


def check_files(folder: Path) -> None:
    """See that the files of a checkpoint are those that were written.

    Raises:
        UserError: If one is missing or differs, or the card does not say what they were.
    """
    files, actual = read_card(folder).get("files"), _digests(folder)
    if not files:
        raise UserError(
            f"{folder / CARD_FILE} has no checksums of files, so an earlier version of reid-gen "
            f"wrote it; use that version, or start a new run with start_from: {folder}"
        )
    differing = [name for name, sha256 in files.items() if actual.get(name) != sha256]
    if differing:
        raise UserError(
            f"{folder} is damaged: {join_some(differing)} missing or not as the card's checksum "
            "says; restore it, or start a new run"
        )


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
        file = folder / f"{name}{WEIGHTS_SUFFIX}"
        if file.is_file() or not if_there:
            load_strictly(network, read_weights(file), str(file))


def find_checkpoint(path: Path) -> Path:
    """The checkpoint folder meant by a run, a checkpoint, its weight file or a built-in's name.

    Raises:
        UserError: If there is none, or it is of another format.
    """
    folder = checkpoint_folder(path)
    read_card(folder)
    return folder


def read_card(folder: Path) -> dict[str, Any]:
    """Read the card of a checkpoint folder.

    Raises:
        UserError: If it is missing, damaged or of another format.
    """
    file = folder / CARD_FILE
    try:
        text = file.read_bytes()
        card = from_json(text)
        number = card["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged; take another checkpoint") from error
    if number != FORMAT:
        raise UserError(
            f"{file} has format {number}, this version reads format {FORMAT}; "
            "use the version of reid-gen that wrote it"
        )
    try:
        _Card.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise UserError(
            f"{file} is damaged: {key}: {fault['msg']}; take another checkpoint"
        ) from error
    return dict(card)


def load_encoder(path: Path) -> tuple[IdentityEncoder, EncoderCard]:
    """Build the encoder of a run or checkpoint folder, in evaluation mode.

    Raises:
        UserError: If there is none, its weights are damaged, or they do not fit its card.
    """
    folder = find_checkpoint(path)
    described = read_card(folder)
    file = folder / ENCODER_FILE
    if hashlib.sha256(file.read_bytes()).hexdigest() != described["sha256"]:
        raise UserError(f"{file} does not match the checksum on its card; copy or train it again")
    card = EncoderCard(**described["encoder"])
    encoder = create_encoder(card)
    load_strictly(encoder, read_weights(file), str(file))
    return encoder.eval(), card


def load_labels(path: Path) -> Int64Array:
    """Pseudo labels of a run's last epoch, [N].

    Raises:
        UserError: If there is no checkpoint, or its last epoch clustered nothing.
    """
    file = find_checkpoint(path) / BANK_FILE
    bank = read_weights(file)
    if "labels" not in bank:
        raise UserError(
            f"{file} holds no pseudo labels: the last epoch clustered nothing; give a run that "
            "ended with a stage that trains the identity encoder"
        )
    labels: Int64Array = bank["labels"].numpy()
    return labels


def load_encoder_for(card: EncoderCard, path: Path, way_out: str) -> IdentityEncoder:
    """Load a checkpoint that must have been made for a given card.

    Args:
        card: What the configuration says.
        path: The checkpoint.
        way_out: What to do if it was made for another one.

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
            f"{', '.join(differing)}; {way_out}"
        )
    return encoder
