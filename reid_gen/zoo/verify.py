"""Whether an encoder that comes with the program is what its card says."""

from __future__ import annotations

import hashlib

from reid_gen.errors import UserError
from reid_gen.models.checkpoint import load_encoder
from reid_gen.models.weight_files import ENCODER_FILE, built_in
from reid_gen.zoo.cards import Card

CLOSE = 1e-4
"""Colours on a card are rounded."""


def verify_weights(card: Card) -> str | None:
    """What is wrong with an encoder that comes with the program; None if nothing is."""
    folder = built_in(card.name)
    if folder is None or not (folder / ENCODER_FILE).is_file():
        return "its weights are missing"
    content = (folder / ENCODER_FILE).read_bytes()
    if len(content) != card.weights.bytes:
        return f"{len(content)} bytes, and its card says {card.weights.bytes}"
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.weights.sha256:
        return f"its SHA-256 is {digest}, and its card says {card.weights.sha256}"
    try:
        encoder, made = load_encoder(folder)
    except UserError as error:
        return str(error)
    told = (card.backbone, card.height, card.width)
    if (made.backbone, made.height, made.width) != told:
        return f"{made.backbone} at {made.height} x {made.width}, and its card says otherwise"
    for name in ("mean", "std"):
        own = getattr(encoder, name).flatten().tolist()
        if any(abs(a - b) > CLOSE for a, b in zip(own, getattr(card, name), strict=True)):
            return f"its {name} is {own}, and its card says {getattr(card, name)}"
    return None
