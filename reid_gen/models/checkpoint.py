"""Checkpoint folders: atomic saving, verification by checksum, and strict loading."""

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
    """Schema of ``card.json``; keys after ``sha256`` (that of the encoder) are optional."""

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
    """Write a checkpoint folder atomically.

    Args:
        target: The folder, such as ``runs/NAME/last``.
        networks: Networks by name, the identity encoder as ``encoder``; one weight file each.
        card: Architecture and input size of the identity encoder.
        about: Further content of ``card.json``: metrics, data fingerprint, settings.
        bank: Memory bank of the last epoch (``features``, ``labels``); empty before the first.
        resume: State that is only needed to resume the run.
        save_more: Function that writes further files to the folder it is given.
        keep_old: Whether an existing checkpoint is kept; see :func:`written_aside`.

    Raises:
        UserError: If it cannot be written; an existing checkpoint is then unchanged.
    """
    with written_aside(target, keep_old) as aside:
        states = {name: network.state_dict() for name, network in networks.items()}
        for name, tensors in {**states, "bank": bank}.items():
            _save_tensors(tensors, aside / f"{name}{WEIGHTS_SUFFIX}")
        (aside / RESUME_FILE).write_bytes(_pickled(resume))
        if save_more is not None:
            save_more(aside)
        files = _checksums(aside)
        content = {
            "format": FORMAT,
            "encoder": card.as_dict(),
            "sha256": files[ENCODER_FILE],
            "files": files,
            **about,
        }
        (aside / CARD_FILE).write_text(as_json(content) + "\n", encoding="utf-8")


def _checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder except its card, by relative path."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / CARD_FILE
    }


def check_files(folder: Path) -> None:
    """Verify the files of a checkpoint against the checksums on its card.

    Raises:
        UserError: If a file is missing or differs, or the card has no checksums.
    """
    expected, actual = read_card(folder).get("files"), _checksums(folder)
    if not expected:
        raise UserError(
            f"{folder / CARD_FILE} has no checksums of files, so an earlier version of reid-gen "
            f"wrote it; use that version, or start a new run with start_from: {folder}"
        )
    differing = [name for name, sha256 in expected.items() if actual.get(name) != sha256]
    if differing:
        raise UserError(
            f"{folder} is damaged: {join_some(differing)} missing or different from the checksum "
            "on the card; restore it, or start a new run"
        )


def _pickled(content: Mapping[str, Any]) -> bytes:
    """Pickle in memory: on a full disk, torch.save would raise RuntimeError and not OSError."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    return buffer.getvalue()


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    contiguous = {name: value.contiguous().cpu() for name, value in tensors.items()}
    path.write_bytes(safetensors.torch.save(contiguous))


def load_networks(
    path: Path, networks: Mapping[str, nn.Module], *, allow_missing: bool = False
) -> None:
    """Load weights from a run or checkpoint folder into networks.

    Args:
        path: The folder.
        networks: Networks by the name under which they were saved; modified in place.
        allow_missing: Whether networks without a file are left unchanged instead of failing.

    Raises:
        UserError: If there is no checkpoint, or weights do not fit a network.
    """
    folder = find_checkpoint(path)
    for name, network in networks.items():
        file = folder / f"{name}{WEIGHTS_SUFFIX}"
        if file.is_file() or not allow_missing:
            load_strictly(network, read_weights(file), str(file))


def find_checkpoint(path: Path) -> Path:
    """Find the checkpoint folder of a run, checkpoint, weight file or built-in name, and check it.

    Raises:
        UserError: If there is none, its card is damaged, or it has another format.
    """
    folder = checkpoint_folder(path)
    read_card(folder)
    return folder


def read_card(folder: Path) -> dict[str, Any]:
    """Read the card of a checkpoint folder.

    Raises:
        UserError: If it is missing, damaged or has another format version.
    """
    file = folder / CARD_FILE
    try:
        text = file.read_bytes()
        card = from_json(text)
        number = card["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged; use another checkpoint") from error
    if number != FORMAT:
        raise UserError(
            f"{file} has format {number}, this version reads format {FORMAT}; "
            "use the version of reid-gen that wrote it"
        )
    try:
        _Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{file} is damaged: {key}: {first['msg']}; use another checkpoint"
        ) from error
    return dict(card)


def load_encoder(path: Path) -> tuple[IdentityEncoder, EncoderCard]:
    """Load the encoder of a run or checkpoint folder, in evaluation mode.

    Raises:
        UserError: If there is no checkpoint, its weights are damaged, or they do not fit its card.
    """
    folder = find_checkpoint(path)
    content = read_card(folder)
    file = folder / ENCODER_FILE
    if hashlib.sha256(file.read_bytes()).hexdigest() != content["sha256"]:
        raise UserError(f"{file} does not match the checksum on its card; copy or train it again")
    card = EncoderCard(**content["encoder"])
    encoder = create_encoder(card)
    load_strictly(encoder, read_weights(file), str(file))
    return encoder.eval(), card


def load_labels(path: Path) -> Int64Array:
    """Load the pseudo labels of a run's last epoch, [N] int64.

    Raises:
        UserError: If there is no checkpoint, or its last epoch had no clustering.
    """
    file = find_checkpoint(path) / BANK_FILE
    bank = read_weights(file)
    if "labels" not in bank:
        raise UserError(
            f"{file} holds no pseudo labels because the last epoch had no clustering; give a run "
            "whose last stage trains the identity encoder"
        )
    labels: Int64Array = bank["labels"].numpy()
    return labels


def load_encoder_for(card: EncoderCard, path: Path, way_out: str) -> IdentityEncoder:
    """Load the encoder of a checkpoint, which must match the configured one.

    Args:
        card: Architecture and input size of the configured encoder.
        path: The checkpoint.
        way_out: Advice for the error message if they differ.

    Raises:
        UserError: If architecture or input size differ, or the checkpoint cannot be loaded.
    """
    encoder, saved_card = load_encoder(path)
    configured = card.as_dict()
    differing = [
        f"{name} {value} instead of {configured[name]}"
        for name, value in saved_card.as_dict().items()
        if value != configured[name]
    ]
    if differing:
        raise UserError(
            f"{path} holds another encoder than the configured one: "
            f"{', '.join(differing)}; {way_out}"
        )
    return encoder
