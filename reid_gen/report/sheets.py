"""Contact sheets: people of a data set, and ranked lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from reid_gen.data.images import UnreadableImage, decode, unreadable_error
from reid_gen.data.sampling import evenly_spaced_indices
from reid_gen.types import UNKNOWN, Float32Array, Image, Int64Array, LabelledSplit, Uint8Array

HEIGHT, WIDTH = 128, 64
FRAME = 3
WHITE, GREEN, RED, BLUE = (255, 255, 255), (40, 160, 60), (200, 40, 40), (40, 80, 200)
Colour = tuple[int, int, int]


def people_sheet(split: LabelledSplit, people: int = 10, columns: int = 12) -> Uint8Array:
    """A row of crops per person, in order of camera and name.

    Args:
        split: Images with pids; pid 0 (distractors) is left out.
        people: Rows, evenly spread over the pids.
        columns: Crops per person, evenly spread over theirs.

    Returns:
        Display colours, [h, w, 3].

    Raises:
        UserError: If an image does not decode.
    """
    pids = np.unique(split.pids[split.pids > 0])
    rows = []
    for pid in pids[evenly_spaced_indices(len(pids), people)]:
        own = [split.images[row] for row in np.flatnonzero(split.pids == pid)]
        own.sort(key=lambda image: (-1 if image.camid is None else image.camid, image.key))
        rows.append([(own[place], WHITE) for place in evenly_spaced_indices(len(own), columns)])
    return frame_rows(rows)


def ranked_sheet(
    query: LabelledSplit,
    gallery: LabelledSplit,
    query_features: Float32Array,
    gallery_features: Float32Array,
    *,
    queries: int = 10,
    columns: int = 10,
    same_image: sparse.csr_matrix | None = None,
) -> Uint8Array:
    """Queries (blue) with the images ranked first: green is the same person, red is not.

    What the protocol drops is not shown: the query's own pid in its own camera, junk, and the
    query's own image.

    Args:
        query: Query split.
        gallery: Gallery split.
        query_features: Unit rows, [Q, D].
        gallery_features: Unit rows, [G, D].
        queries: Rows, evenly spread over the queries.
        columns: Ranks.
        same_image: Where both are one image, [Q, G]; None if not so of any.

    Returns:
        Display colours, [h, w, 3].

    Raises:
        UserError: If an image does not decode.
    """
    rows = []
    for row in evenly_spaced_indices(len(query.images), queries):
        same = gallery.pids == query.pids[row]
        seen = same & (gallery.camids == query.camids[row]) & (gallery.camids != UNKNOWN)
        seen |= gallery.pids == UNKNOWN
        if same_image is not None:
            seen |= same_image[[row]].toarray()[0]
        similarity = np.where(seen, -np.inf, gallery_features @ query_features[row])
        ranked = np.argsort(-similarity, kind="stable")[: min(columns, int((~seen).sum()))]
        frames = [(gallery.images[place], GREEN if same[place] else RED) for place in ranked]
        rows.append([(query.images[row], BLUE), *frames])
    return frame_rows(rows)


def clusters_sheet(
    images: Sequence[Image], labels: Int64Array, clusters: Int64Array, columns: int = 16
) -> Uint8Array:
    """A row of crops per cluster, evenly spread over its images, [h, w, 3].

    Args:
        images: N of them.
        labels: Pseudo labels, [N].
        clusters: Labels to show.
        columns: Crops per cluster.

    Raises:
        UserError: If an image does not decode.
    """
    rows = []
    for cluster in clusters:
        own = np.flatnonzero(labels == cluster)
        rows.append([(images[row], WHITE) for row in own[evenly_spaced_indices(len(own), columns)]])
    return frame_rows(rows)


def frame_rows(rows: Sequence[Sequence[tuple[Image, Colour]]]) -> Uint8Array:
    """Framed crops in rows; shorter rows end in white."""
    high, wide = HEIGHT + 2 * FRAME, WIDTH + 2 * FRAME
    longest = max((len(row) for row in rows), default=0)
    sheet = np.full((high * len(rows), wide * longest, 3), 255, np.uint8)
    failures: list[UnreadableImage] = []
    for down, row in enumerate(rows):
        for across, (image, colour) in enumerate(row):
            cell = sheet[down * high : (down + 1) * high, across * wide : (across + 1) * wide]
            cell[:] = colour
            try:
                cell[FRAME:-FRAME, FRAME:-FRAME] = decode(image.path, HEIGHT, WIDTH)
            except UnreadableImage as failure:
                failures.append(failure)
    if failures:
        raise unreadable_error(failures)
    return sheet
