import math
from pathlib import Path

import numpy as np
import pytest

from reid_gen.errors import UserError
from reid_gen.evaluation.temporal import (
    BINS,
    CaptureTimes,
    capture_times,
    joint_distances,
    travel_times,
)
from reid_gen.types import Image


def image(camid, frame, recording=1):
    return Image(f"{camid}_{recording}_{frame}.jpg", Path("x"), camid, frame, recording)


def random_people(seed=0, count=60, people=7, cameras=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, people, count)
    return CaptureTimes(rng.integers(0, cameras, count), rng.integers(0, 40_000, count)), labels


def slow_travel_times(taken, labels, cameras):
    """Loops over people, pairs of cameras and bins, by the description of JVTC's release."""
    raw = [[[0.0] * BINS for _ in range(cameras)] for _ in range(cameras)]
    for person in sorted(set(labels.tolist()) - {-1}):
        times = {
            c: [
                int(f)
                for f, cam, own in zip(taken.frames, taken.camids, labels, strict=True)
                if cam == c and own == person
            ]
            for c in range(cameras)
        }
        for one in range(cameras):
            if len(times[one]) > 1:
                for time in times[one]:
                    raw[one][one][(time - min(times[one])) // 100] += len(times[one])
            for other in range(one + 1, cameras):
                if times[one] and times[other]:
                    gap = np.mean(times[one]) - np.mean(times[other])
                    later, earlier = (one, other) if gap > 0 else (other, one)
                    raw[later][earlier][int(abs(gap) / 100)] += 1
    bell = [math.exp(-(d**2) / (2 * 50**2)) for d in range(151)]
    found = np.zeros((cameras, cameras, BINS))
    for one in range(cameras):
        for other in range(cameras):
            for place, value in enumerate(raw[one][other]):
                for distance in range(-150, 151) if value else ():
                    if 0 <= place + distance < BINS:
                        found[one, other, place + distance] += value * bell[abs(distance)]
            found[one, other] /= max(found[one, other].sum(), 1e-7)
    return found


def test_likelihoods_of_gaps_equal_loops_over_people_and_cameras():
    taken, labels = random_people()
    np.testing.assert_allclose(
        travel_times(taken, labels, 3), slow_travel_times(taken, labels, 3), atol=1e-7
    )


def test_joint_distances_equal_the_formula_for_every_pair():
    rng = np.random.default_rng(1)
    query, gallery = (rng.normal(size=(n, 4)).astype(np.float32) for n in (5, 8))
    asked, kept = (random_people(seed, n)[0] for seed, n in ((2, 5), (3, 8)))
    likelihood = travel_times(*random_people(), 3)
    found = joint_distances(query, gallery, asked, kept, likelihood)
    for q in range(5):
        for g in range(8):
            gap = int(asked.frames[q] - kept.frames[g])
            pair = (asked.camids[q], kept.camids[g])
            later, earlier = pair if gap > 0 else pair[::-1]
            t = likelihood[later, earlier, abs(gap) // 100]
            v = float(query[q] @ gallery[g])
            wanted = 1 - 1 / (1 + math.exp(-5 * v)) * 1 / (1 + 2 * math.exp(-5 * t))
            assert found[q, g] == pytest.approx(wanted, abs=1e-6)


def test_a_cameras_recordings_follow_each_other():
    taken = capture_times(
        [image(0, 900), image(0, 1000), image(0, 5, 2), image(0, 50, 2), image(0, 7, 3)]
    )
    assert taken.frames.tolist() == [900, 1000, 1005, 1050, 1057]
    both = capture_times([image(0, 10), image(1, 3, 2)])
    assert both.frames.tolist() == [10, 3]


def test_time_decides_between_equal_looks():
    train = CaptureTimes(np.array([0, 1] * 20), np.tile([0, 3000], 20))
    likelihood = travel_times(train, np.repeat(np.arange(20), 2), 2)
    same = np.ones((1, 1), np.float32)
    asked = CaptureTimes(np.array([0]), np.array([1000]))
    kept = CaptureTimes(np.array([1, 1]), np.array([4000, 90_000]))
    near, far = joint_distances(same, np.ones((2, 1), np.float32), asked, kept, likelihood)[0]
    assert near < far


def test_images_without_time_are_refused():
    with pytest.raises(UserError, match="1 of 2 images have no camera or frame number"):
        capture_times([image(0, 1), Image("a.jpg", Path("a.jpg"), 2)])
