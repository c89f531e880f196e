"""Contact sheet of positive groups: generated images of the same person."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from reid_gen.data.images import decode
from reid_gen.data.positive_groups import Groups
from reid_gen.data.sampling import evenly_spaced_indices
from reid_gen.types import Uint8Array

HEIGHT, WIDTH = 128, 64
ROWS, COLUMNS = 12, 10


def groups_sheet(groups: Groups) -> Uint8Array:
    """Draw a row per group for up to ``ROWS`` evenly spaced groups; RGB, [h, w, 3].

    Args:
        groups: Groups of generated images and their folder.

    Raises:
        UnreadableImage: If an image does not decode.
    """
    rows = [list(members) for _, members in groupby(groups.members, key=lambda m: m.group)]
    sample = evenly_spaced_indices(len(rows), ROWS)
    columns = min(COLUMNS, max(len(row) for row in rows))
    sheet = np.full((len(sample) * HEIGHT, columns * WIDTH, 3), 255, np.uint8)
    for y, index in enumerate(sample):
        for x, member in enumerate(rows[index][:columns]):
            cell = sheet[y * HEIGHT :, x * WIDTH :][:HEIGHT, :WIDTH]
            cell[:] = decode(groups.folder / member.file, HEIGHT, WIDTH)
    return sheet
