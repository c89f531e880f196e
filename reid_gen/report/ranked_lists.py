"""Contact sheet of ranked lists: query images with their best matches."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reid_gen.inference.search import RankedList
from reid_gen.report.sheets import BLUE, GREEN, RED, frame_rows
from reid_gen.types import Image, Uint8Array

PID_PATTERN = re.compile(r"^(\d+)_c?\d")
"""Matches the pid and camera that start file names in Market-1501, DukeMTMC-reID and MSMT17."""


def search_sheet(ranked_lists: Sequence[RankedList]) -> Uint8Array:
    """Draw a row per ranked list: the query (blue), then its matches.

    Matches have a green frame if the pid in their file name is that of the query, a red frame if it
    differs, and a blue frame if one of the file names holds no pid.

    Raises:
        UserError: If an image does not decode.
    """
    rows = []
    for ranked in ranked_lists:
        query_pid = _read_pid(ranked.query)
        frames = [
            (image, _frame_colour(query_pid, _read_pid(image))) for image, _ in ranked.matches
        ]
        rows.append([(ranked.query, BLUE), *frames])
    return frame_rows(rows)


def _read_pid(image: Image) -> str | None:
    match = PID_PATTERN.match(image.path.name)
    return match[1] if match else None


def _frame_colour(query_pid: str | None, match_pid: str | None) -> tuple[int, int, int]:
    if query_pid is None or match_pid is None:
        return BLUE
    return GREEN if query_pid == match_pid else RED
