"""List of the crops of a rendered data set: which person, in which camera, at which frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from reid_gen.errors import UserError
from reid_gen.types import Int64Array

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
FRAMES_PER_SECOND = 25
START_WINDOW = 90_000
"""Frames within which people enter their first camera: one hour."""
DISTRACTOR = 0
"""The pid of distractors, as in Market-1501."""
MIN_CAMERAS = 2


@dataclass(frozen=True)
class DatasetSize:
    """Number of people, cameras and images of a rendered data set.

    Attributes:
        train_people: Number of training identities.
        test_people: Number of query and gallery identities, disjoint from the training identities.
        cameras: Number of cameras.
        train: Number of training images.
        query: Number of query images: one per test identity and camera that it appears in.
        gallery: Number of gallery images of test identities.
        distractors: Number of distractor images in the gallery.
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
        """Total number of images."""
        return self.train + self.query + self.gallery + self.distractors


PRESETS = {
    "tiny": DatasetSize(12, 12, 4, 120, 36, 84, 10),
    "small": DatasetSize(60, 40, 6, 1_000, 180, 700, 80),
    "market": DatasetSize(751, 750, 6, 12_936, 3_368, 13_115, 2_798),
}
"""Sizes by the name of the preset; ``market`` has the counts of Market-1501."""


@dataclass(frozen=True)
class PlannedCrop:
    """One crop of the list.

    Attributes:
        folder: Folder of its split.
        pid: Person id in the file name.
        person: Index of the person in the renderer.
        camera: Camera, counted from 0.
        repeat: Index of the crop among those of this person in this camera.
        frame: Frame number in the camera's recording.
    """

    folder: str
    pid: int
    person: int
    camera: int
    repeat: int
    frame: int

    @property
    def key(self) -> str:
        """Path relative to the root of the data set, named as in Market-1501."""
        name = f"{self.pid:04d}_c{self.camera + 1}s1_{self.frame:06d}_{self.repeat:02d}.jpg"
        return f"{self.folder}/{name}"


def size_like_market(identities: int, cameras: int) -> DatasetSize:
    """Scale Market-1501's proportions: half of the identities for training, half for testing.

    Args:
        identities: Number of identities, 4 to 9999.
        cameras: Number of cameras, 2 to 99.

    Returns:
        DatasetSize of the data set.

    Raises:
        UserError: If a number is out of range.
    """
    if not 4 <= identities <= 9_999:
        raise UserError(f"--identities {identities}: give 4 to 9999")
    if not MIN_CAMERAS <= cameras <= 99:
        raise UserError(f"--cameras {cameras}: give 2 to 99, since people are matched across them")
    test = identities // 2
    cameras_per_person = min(4.5, 0.5 * (MIN_CAMERAS + cameras))
    return DatasetSize(
        train_people=identities - test,
        test_people=test,
        cameras=cameras,
        train=17 * (identities - test),
        query=int(cameras_per_person * test),
        gallery=17 * test,
        distractors=2 * test,
    )


def plan_crops(size: DatasetSize, seed: int) -> list[PlannedCrop]:
    """List all crops of a data set; the same size and seed always give the same list.

    People walk from camera to camera: each starts at a random time and visits a random sequence of
    cameras; travel times vary about a mean for each pair of cameras.

    Args:
        size: DatasetSize of the data set.
        seed: Seed of the data set.

    Returns:
        Crops of the training, query and gallery split in this order, each by person, then the
        distractors. Source: own.
    """
    rng = np.random.default_rng([seed, 5])
    travel_times = rng.uniform(10, 120, (size.cameras, size.cameras)) * FRAMES_PER_SECOND
    train_people = np.arange(size.train_people)
    train = list(_walks(train_people, size.cameras, size.train, travel_times, rng, first_pid=1))
    test_people = size.train_people + np.arange(size.test_people)
    test = list(
        _walks(
            test_people, size.cameras, size.query + size.gallery, travel_times, rng,
            first_pid=size.train_people + 1, visits=size.query,
        )
    )  # fmt: skip
    query = [PlannedCrop(QUERY, *row) for row in test if row[3] == 0]
    gallery = [PlannedCrop(GALLERY, *row) for row in test if row[3] > 0]
    distractors = [
        PlannedCrop(GALLERY, DISTRACTOR, index, int(camera), index, int(frame))
        for index, (camera, frame) in enumerate(
            zip(
                rng.integers(0, size.cameras, size.distractors),
                rng.integers(0, START_WINDOW, size.distractors),
                strict=True,
            )
        )
    ]
    return [*(PlannedCrop(TRAIN, *row) for row in train), *query, *gallery, *distractors]


Row = tuple[int, int, int, int, int]
"""Fields of a planned crop without its folder: pid, person, camera, repeat, frame."""


def _walks(
    people: Int64Array,
    cameras: int,
    images: int,
    travel_times: np.ndarray,
    rng: Generator,
    *,
    first_pid: int,
    visits: int | None = None,
) -> Iterator[Row]:
    """Sample the routes of people and list their crops.

    Args:
        people: Indices of the people in the renderer.
        cameras: Number of cameras.
        images: Total number of crops.
        travel_times: Mean travel time between cameras in frames, [cameras, cameras].
        rng: Source of randomness.
        first_pid: The pid of the first person.
        visits: Total number of camera visits, each with at least 2 crops (query and gallery); None
            for ``(2 + cameras) / 2`` visits per person on average, each with at least 1 crop.
    """
    total_visits = visits or min(round(0.5 * (2 + cameras) * len(people)), images)
    visits_per_person = _split_total(total_visits, len(people), MIN_CAMERAS, cameras, rng)
    min_crops = 1 if visits is None else 2
    crops_per_visit = _split_total(images, int(visits_per_person.sum()), min_crops, images, rng)
    visit = 0
    for index, num_visits in enumerate(visits_per_person):
        route = rng.permutation(cameras)[:num_visits]
        frame = float(rng.uniform(0, START_WINDOW))
        for stop, camera in enumerate(route):
            if stop:
                frame += travel_times[route[stop - 1], camera] * rng.uniform(0.8, 1.2)
            offsets = np.cumsum(rng.integers(5, 25, crops_per_visit[visit]))
            for repeat, offset in enumerate(offsets):
                person = int(people[index])
                yield first_pid + index, person, int(camera), repeat, int(frame + offset)
            frame += offsets[-1]
            visit += 1


def _split_total(total: int, parts: int, lowest: int, highest: int, rng: Generator) -> Int64Array:
    """Split a total at random into uneven parts between ``lowest`` and ``highest``, [parts]."""
    propensity = rng.gamma(4, size=parts)
    sizes = np.full(parts, lowest)
    while (remaining := total - sizes.sum()) > 0:
        weights = propensity * (sizes < highest)
        sizes = np.minimum(sizes + rng.multinomial(remaining, weights / weights.sum()), highest)
    return sizes
