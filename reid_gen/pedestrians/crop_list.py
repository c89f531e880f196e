"""Who is seen where and when: the list of crops of a rendered data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from reid_gen.errors import UserError
from reid_gen.types import Int64Array

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
FRAMES_PER_SECOND = 25
DAY = 90_000
"""Frames within which people set out: an hour."""
DISTRACTOR = 0
FEWEST_CAMERAS = 2


@dataclass(frozen=True)
class Size:
    """How large a data set is.

    Attributes:
        train_people: Identities to train on.
        test_people: Identities of query and gallery, others than those.
        cameras: Number of cameras.
        train: Training images.
        query: Query images: one per test person and camera that sees them.
        gallery: Gallery images of these people.
        distractors: Gallery images of nobody in particular.
    """

    train_people: int
    test_people: int
    cameras: int
    train: int
    query: int
    gallery: int
    distractors: int

    @property
    def images(self) -> int:
        """Images in all."""
        return self.train + self.query + self.gallery + self.distractors


PRESETS = {
    "tiny": Size(12, 12, 4, 120, 36, 84, 10),
    "small": Size(60, 40, 6, 1_000, 180, 700, 80),
    "market": Size(751, 750, 6, 12_936, 3_368, 13_115, 2_798),
}
"""``market`` has the counts of Market-1501."""


@dataclass(frozen=True)
class Entry:
    """One crop.

    Attributes:
        folder: Of its split.
        pid: In the file name.
        number: Of the person in the studio.
        camera: Counted from 0.
        repeat: Counts the crops of this person in this camera.
        frame: Of the camera's recording.
    """

    folder: str
    pid: int
    number: int
    camera: int
    repeat: int
    frame: int

    @property
    def key(self) -> str:
        """Path below the root of the data set, named as in Market-1501."""
        name = f"{self.pid:04d}_c{self.camera + 1}s1_{self.frame:06d}_{self.repeat:02d}.jpg"
        return f"{self.folder}/{name}"


def size_of(identities: int, cameras: int) -> Size:
    """A data set with Market-1501's proportions: half of the people to train on, half to test.

    Raises:
        UserError: If there are fewer than 4 identities or 2 cameras, or over 9999 identities.
    """
    if not 4 <= identities <= 9_999:
        raise UserError(f"--identities {identities}: give 4 to 9999")
    if not FEWEST_CAMERAS <= cameras <= 99:
        raise UserError(f"--cameras {cameras}: give 2 to 99, since people are matched across them")
    test = identities // 2
    seen_by = min(4.5, 0.5 * (FEWEST_CAMERAS + cameras))
    return Size(
        train_people=identities - test,
        test_people=test,
        cameras=cameras,
        train=17 * (identities - test),
        query=int(seen_by * test),
        gallery=17 * test,
        distractors=2 * test,
    )


def plan(size: Size, seed: int) -> list[Entry]:
    """List every crop; the same size and seed always give the same list.

    People walk from camera to camera: each sets out at some time, meets some of the cameras in a
    random order, and needs a time typical of two cameras to get from one to the other.

    Args:
        size: Of the data set.
        seed: Of the data set.

    Returns:
        Training images, then query, then gallery, each by person. Source: own.
    """
    rng = np.random.default_rng([seed, 5])
    between = rng.uniform(10, 120, (size.cameras, size.cameras)) * FRAMES_PER_SECOND
    people = np.arange(size.train_people)
    train = list(_walks(people, size.cameras, size.train, between, rng, first_pid=1))
    test_people = size.train_people + np.arange(size.test_people)
    seen = list(
        _walks(
            test_people, size.cameras, size.query + size.gallery, between, rng,
            first_pid=size.train_people + 1, visits=size.query,
        )
    )  # fmt: skip
    query = [Entry(QUERY, *row) for row in seen if row[3] == 0]
    gallery = [Entry(GALLERY, *row) for row in seen if row[3] > 0]
    nobody = [
        Entry(GALLERY, DISTRACTOR, index, int(camera), index, int(frame))
        for index, (camera, frame) in enumerate(
            zip(
                rng.integers(0, size.cameras, size.distractors),
                rng.integers(0, DAY, size.distractors),
                strict=True,
            )
        )
    ]
    return [*(Entry(TRAIN, *row) for row in train), *query, *gallery, *nobody]


Row = tuple[int, int, int, int, int]
"""pid, number, camera, repeat, frame."""


def _walks(
    people: Int64Array,
    cameras: int,
    images: int,
    between: np.ndarray,
    rng: Generator,
    *,
    first_pid: int,
    visits: int | None = None,
) -> Iterator[Row]:
    """Crops of people on their way; every visit of a camera gives one crop at least."""
    wanted = visits or min(round(0.5 * (2 + cameras) * len(people)), images)
    stops = _shares(wanted, len(people), FEWEST_CAMERAS, cameras, rng)
    crops = _shares(images, int(stops.sum()), 1 if visits is None else 2, images, rng)
    taken = 0
    for person, count in enumerate(stops):
        route = rng.permutation(cameras)[:count]
        frame = float(rng.uniform(0, DAY))
        for place, camera in enumerate(route):
            if place:
                frame += between[route[place - 1], camera] * rng.uniform(0.8, 1.2)
            steps = np.cumsum(rng.integers(5, 25, crops[taken]))
            for repeat, step in enumerate(steps):
                number = int(people[person])
                yield first_pid + person, number, int(camera), repeat, int(frame + step)
            frame += steps[-1]
            taken += 1


def _shares(total: int, parts: int, least: int, most: int, rng: Generator) -> Int64Array:
    """Split a total at random and unevenly into parts between ``least`` and ``most``, [parts]."""
    liking = rng.gamma(4, size=parts)
    shares = np.full(parts, least)
    while (left := total - shares.sum()) > 0:
        wanted = liking * (shares < most)
        shares = np.minimum(shares + rng.multinomial(left, wanted / wanted.sum()), most)
    return shares
