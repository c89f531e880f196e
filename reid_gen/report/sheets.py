"""Contact sheets of people, ranked lists and clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from reid_gen.data.images import UnreadableImage, decode, unreadable_error
from reid_gen.data.sampling import evenly_spaced_indices
from reid_gen.types import UNKNOWN, Float32Array, Image, Int64Array, LabelledSplit, Uint8Array

HEIGHT, WIDTH = 128, 64
FRAME = 3
"""Width of the frame around a crop in pixels."""
WHITE, GREEN, RED, BLUE = (255, 255, 255), (40, 160, 60), (200, 40, 40), (40, 80, 200)
Colour = tuple[int, int, int]


def people_sheet(split: LabelledSplit, people: int = 10, columns: int = 12) -> Uint8Array:
    """Draw a row of crops per person, sorted by camera and key.

    Args:
        split: Images with pids; distractors (pid 0) and junk are left out.
        people: Maximum number of rows, evenly spaced over the pids.
        columns: Maximum number of crops per person, evenly spaced over the person's crops.

    Returns:
        RGB contact sheet, [h, w, 3].

    Raises:
        UserError: If an image does not decode.
    """
    pids = np.unique(split.pids[split.pids > 0])
    rows = []
    for pid in pids[evenly_spaced_indices(len(pids), people)]:
        crops = [split.images[row] for row in np.flatnonzero(split.pids == pid)]
        crops.sort(key=lambda image: (-1 if image.camid is None else image.camid, image.key))
        rows.append([(crops[index], WHITE) for index in evenly_spaced_indices(len(crops), columns)])
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
    """Draw a row per query: the query (blue), then matches (green: same person; red: another).

    Gallery images that the evaluation protocol ignores are left out: those with pid and camera of
    the query, junk images, and copies of the query image.

    Args:
        query: Query split.
        gallery: Gallery split.
        query_features: L2-normalised features of the queries, [Q, D].
        gallery_features: L2-normalised features of the gallery, [G, D].
        queries: Maximum number of rows, evenly spaced over the queries.
        columns: Number of top ranks to show.
        same_image: Mask of gallery images identical to the query, [Q, G]; None if there are none.

    Returns:
        RGB contact sheet, [h, w, 3].

    Raises:
        UserError: If an image does not decode.
    """
    rows = []
    for row in evenly_spaced_indices(len(query.images), queries):
        same_person = gallery.pids == query.pids[row]
        ignored = same_person & (gallery.camids == query.camids[row]) & (gallery.camids != UNKNOWN)
        ignored |= gallery.pids == UNKNOWN
        if same_image is not None:
            ignored |= same_image[[row]].toarray()[0]
        similarity = np.where(ignored, -np.inf, gallery_features @ query_features[row])
        ranked = np.argsort(-similarity, kind="stable")[: min(columns, int((~ignored).sum()))]
        frames = [(gallery.images[index], GREEN if same_person[index] else RED) for index in ranked]
        rows.append([(query.images[row], BLUE), *frames])
    return frame_rows(rows)


def clusters_sheet(
    images: Sequence[Image], labels: Int64Array, clusters: Int64Array, columns: int = 16
) -> Uint8Array:
    """Draw a row of evenly spaced member crops per cluster; RGB, [h, w, 3].

    Args:
        images: The N clustered images.
        labels: Pseudo labels, [N].
        clusters: Labels of the clusters to show.
        columns: Maximum number of crops per cluster.

    Raises:
        UserError: If an image does not decode.
    """
    rows = []
    for cluster in clusters:
        members = np.flatnonzero(labels == cluster)
        sample = members[evenly_spaced_indices(len(members), columns)]
        rows.append([(images[row], WHITE) for row in sample])
    return frame_rows(rows)


def frame_rows(rows: Sequence[Sequence[tuple[Image, Colour]]]) -> Uint8Array:
    """Draw rows of crops with coloured frames; shorter rows are padded with white."""
    height, width = HEIGHT + 2 * FRAME, WIDTH + 2 * FRAME
    longest = max((len(row) for row in rows), default=0)
    sheet = np.full((height * len(rows), width * longest, 3), 255, np.uint8)
    failures: list[UnreadableImage] = []
    for y, row in enumerate(rows):
        for x, (image, colour) in enumerate(row):
            cell = sheet[y * height : (y + 1) * height, x * width : (x + 1) * width]
            cell[:] = colour
            try:
                cell[FRAME:-FRAME, FRAME:-FRAME] = decode(image.path, HEIGHT, WIDTH)
            except UnreadableImage as failure:
                failures.append(failure)
    if failures:
        raise unreadable_error(failures)
    return sheet
