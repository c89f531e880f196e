"""Contact sheet of the ranked lists of a search."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reid_gen.inference.search import RankedList
from reid_gen.report.sheets import BLUE, GREEN, RED, frame_rows
from reid_gen.types import Image, Uint8Array

PERSON = re.compile(r"^(\d+)_c?\d")
"""Start of file names in Market-1501, DukeMTMC-reID and MSMT17: pid, then camera."""


def search_sheet(ranked_lists: Sequence[RankedList]) -> Uint8Array:
    """Draw a row per ranked list: the query (blue), then its matches.

    Frames are green for the query's person, red for another one, and blue where file names do not
    tell.

    Raises:
        UserError: If an image does not decode.
    """
    rows = []
    for ranked in ranked_lists:
        person = _person(ranked.query)
        frames = [(image, _colour(person, _person(image))) for image, _ in ranked.matches]
        rows.append([(ranked.query, BLUE), *frames])
    return frame_rows(rows)


def _person(image: Image) -> str | None:
    match = PERSON.match(image.path.name)
    return match[1] if match else None


def _colour(query_person: str | None, match_person: str | None) -> tuple[int, int, int]:
    if query_person is None or match_person is None:
        return BLUE
    return GREEN if query_person == match_person else RED
