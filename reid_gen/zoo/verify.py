"""Whether an encoder that comes with the program is what its card says."""

from __future__ import annotations

from reid_gen.engine.checkpoint import load_encoder
from reid_gen.errors import UserError
from reid_gen.models.places import ENCODER, built_in
from reid_gen.zoo.cards import Card

CLOSE = 1e-4
"""Colours on a card are rounded."""


def fault_of(card: Card) -> str | None:
    """What is wrong with an encoder; None if nothing is, or if its weights are not passed on."""
    if card.weights.source == "none":
        return None
    folder = built_in(card.name)
    if folder is None:
        return "its folder is missing"
    size = (folder / ENCODER).stat().st_size
    if size != card.weights.bytes:
        return f"{size} bytes, and its card says {card.weights.bytes}"
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
