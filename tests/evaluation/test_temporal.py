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


def slow_travel_times(capture, labels, cameras):
    """Loop over people, pairs of cameras and bins, following the released code of JVTC."""
    raw = [[[0.0] * BINS for _ in range(cameras)] for _ in range(cameras)]
    for person in sorted(set(labels.tolist()) - {-1}):
        times = {
            c: [
                int(f)
                for f, cam, label in zip(capture.frames, capture.camids, labels, strict=True)
                if cam == c and label == person
            ]
            for c in range(cameras)
        }
        for a in range(cameras):
            if len(times[a]) > 1:
                for time in times[a]:
                    raw[a][a][(time - min(times[a])) // 100] += len(times[a])
            for b in range(a + 1, cameras):
                if times[a] and times[b]:
                    gap = np.mean(times[a]) - np.mean(times[b])
                    later, earlier = (a, b) if gap > 0 else (b, a)
                    raw[later][earlier][int(abs(gap) / 100)] += 1
    kernel = [math.exp(-(d**2) / (2 * 50**2)) for d in range(151)]
    histogram = np.zeros((cameras, cameras, BINS))
    for a in range(cameras):
        for b in range(cameras):
            for position, value in enumerate(raw[a][b]):
                for distance in range(-150, 151) if value else ():
                    if 0 <= position + distance < BINS:
                        histogram[a, b, position + distance] += value * kernel[abs(distance)]
            histogram[a, b] /= max(histogram[a, b].sum(), 1e-7)
    return histogram


def test_travel_times_equal_loops_over_people_and_cameras():
    times, labels = random_people()
    np.testing.assert_allclose(
        travel_times(times, labels, 3), slow_travel_times(times, labels, 3), atol=1e-7
    )


def test_joint_distances_equal_formula_for_every_pair():
    rng = np.random.default_rng(1)
    query, gallery = (rng.normal(size=(n, 4)).astype(np.float32) for n in (5, 8))
    query_times, gallery_times = (random_people(seed, n)[0] for seed, n in ((2, 5), (3, 8)))
    likelihood = travel_times(*random_people(), 3)
    actual = joint_distances(query, gallery, query_times, gallery_times, likelihood)
    for q in range(5):
        for g in range(8):
            gap = int(query_times.frames[q] - gallery_times.frames[g])
            pair = (query_times.camids[q], gallery_times.camids[g])
            later, earlier = pair if gap > 0 else pair[::-1]
            t = likelihood[later, earlier, abs(gap) // 100]
            v = float(query[q] @ gallery[g])
            expected = 1 - 1 / (1 + math.exp(-5 * v)) * 1 / (1 + 2 * math.exp(-5 * t))
            assert actual[q, g] == pytest.approx(expected, abs=1e-6)


def test_capture_times_joins_recordings_of_a_camera():
    times = capture_times(
        [image(0, 900), image(0, 1000), image(0, 5, 2), image(0, 50, 2), image(0, 7, 3)]
    )
    assert times.frames.tolist() == [900, 1000, 1005, 1050, 1057]
    two_cameras = capture_times([image(0, 10), image(1, 3, 2)])
    assert two_cameras.frames.tolist() == [10, 3]


def test_joint_distances_prefer_likely_travel_times():
    train = CaptureTimes(np.array([0, 1] * 20), np.tile([0, 3000], 20))
    likelihood = travel_times(train, np.repeat(np.arange(20), 2), 2)
    query = np.ones((1, 1), np.float32)
    query_times = CaptureTimes(np.array([0]), np.array([1000]))
    gallery_times = CaptureTimes(np.array([1, 1]), np.array([4000, 90_000]))
    likely, unlikely = joint_distances(
        query, np.ones((2, 1), np.float32), query_times, gallery_times, likelihood
    )[0]
    assert likely < unlikely


def test_capture_times_refuses_images_without_camera_or_frame():
    with pytest.raises(UserError, match="1 of 2 images have no camera or frame number"):
        capture_times([image(0, 1), Image("a.jpg", Path("a.jpg"), 2)])
