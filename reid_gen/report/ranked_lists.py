"""Ranked lists of a search to look at."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reid_gen.inference.search import Ranked
from reid_gen.report.sheets import BLUE, GREEN, RED, frame_rows
from reid_gen.types import Image, Uint8Array

PERSON = re.compile(r"^(\d+)_c?\d")
"""How file names of Market-1501, DukeMTMC-reID and MSMT17 begin: pid, then camera."""


def found_sheet(found: Sequence[Ranked]) -> Uint8Array:
    """A row per query, which comes first: green is the same person, red another, blue unknown.

    Raises:
        UserError: If an image does not decode.
    """
    rows = []
    for ranked in found:
        person = _person(ranked.query)
        frames = [(image, _colour(person, _person(image))) for image, _ in ranked.matches]
        rows.append([(ranked.query, BLUE), *frames])
    return frame_rows(rows)


def _person(image: Image) -> str | None:
    match = PERSON.match(image.path.name)
    return match[1] if match else None


def _colour(one: str | None, other: str | None) -> tuple[int, int, int]:
    if one is None or other is None:
        return BLUE
    return GREEN if one == other else RED
