"""The code of docs/tracking.md on rendered people who swap positions while out of view."""

import numpy as np
import pytest

from reid_gen.pedestrians.renderer import PedestrianRenderer
from tests.documents.pages import ROOT, blocks, text_of

HEIGHT, WIDTH = 128, 64
LEFT_EDGES = (100, 180)
"""Left edges of the boxes in pixels."""
HIDDEN = range(10, 35)
"""Frames without people."""


def swapped_people():
    """Yield frames and boxes: two people, then empty frames, then both in swapped positions."""
    renderer = PedestrianRenderer(5, HEIGHT, WIDTH)
    crops = [renderer.render(renderer.sample_crop(person, 0, 0)) for person in range(2)]
    for number in range(HIDDEN.stop + 5):
        frame = np.full((160, 300, 3), 90, np.uint8)
        boxes = []
        if number not in HIDDEN:
            left_edges = LEFT_EDGES if number < HIDDEN.start else LEFT_EDGES[::-1]
            for x, crop in zip(left_edges, crops, strict=True):
                frame[10 : 10 + HEIGHT, x : x + WIDTH] = crop
                boxes.append((x, 10, WIDTH, HEIGHT))
        yield frame, boxes


def test_tracker_keeps_ids_when_people_swap_positions():
    pytest.importorskip("deep_sort_realtime", exc_type=ImportError)
    (code,) = blocks(text_of(ROOT / "docs" / "tracking.md"), "python")
    tracks = {}

    def record(track_id, box):
        tracks.setdefault(track_id, []).append(box[0])

    exec(code, {"video": swapped_people(), "print": record})
    assert len(tracks) == 2
    assert sorted(edges[0] for edges in tracks.values()) == list(LEFT_EDGES)
    for edges in tracks.values():
        assert abs(edges[-1] - (sum(LEFT_EDGES) - edges[0])) < 10
