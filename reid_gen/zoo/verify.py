"""Verification of the built-in encoders against their model cards."""

from __future__ import annotations

import hashlib

from reid_gen.errors import UserError
from reid_gen.models.checkpoint import load_encoder
from reid_gen.models.weight_files import ENCODER_FILE, built_in
from reid_gen.zoo.cards import Card

TOLERANCE = 1e-4
"""Largest difference of mean and std, which cards round."""


def verify_weights(card: Card) -> str | None:
    """Compare a built-in encoder with its model card.

    Returns:
        The first difference found; None if the encoder matches its card.
    """
    folder = built_in(card.name)
    if folder is None or not (folder / ENCODER_FILE).is_file():
        return "its weights are missing"
    content = (folder / ENCODER_FILE).read_bytes()
    if len(content) != card.weights.bytes:
        return f"its file has {len(content)} bytes instead of {card.weights.bytes}"
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.weights.sha256:
        return f"its SHA-256 is {digest} instead of {card.weights.sha256}"
    try:
        encoder, actual = load_encoder(folder)
    except UserError as error:
        return str(error)
    expected = (card.backbone, card.height, card.width)
    if (actual.backbone, actual.height, actual.width) != expected:
        return (
            f"it is {actual.backbone} at {actual.height} x {actual.width} instead of "
            f"{card.backbone} at {card.height} x {card.width}"
        )
    for name in ("mean", "std"):
        values = getattr(encoder, name).flatten().tolist()
        if any(abs(a - b) > TOLERANCE for a, b in zip(values, getattr(card, name), strict=True)):
            return f"its {name} is {values} instead of {getattr(card, name)}"
    return None
