"""Tests of the validation split that recipes are compared on."""

import numpy as np

from benchmarks.recipe import row, write_split
from reid_gen.data.datasets import load_dataset
from reid_gen.training.metrics_log import MetricsLog
from tests.data.real_format import make_market


def cameras(images):
    return [image.camid for image in images]


def test_write_split_holds_out_complete_identities(tmp_path):
    source = load_dataset(
        "market1501", make_market(tmp_path / "data", people=8, shots=6, cameras=3)
    )
    write_split(tmp_path / "data", tmp_path / "split", people=3)
    split = load_dataset("market1501", tmp_path / "split")
    assert len(set(split.train_pids)) == 5
    assert len(set(split.gallery.pids)) == 3
    assert not set(split.train_pids) & set(split.gallery.pids)
    pairs = sorted(zip(split.query.pids.tolist(), cameras(split.query.images), strict=True))
    assert pairs == [
        (pid, camera) for pid in sorted(set(split.gallery.pids)) for camera in range(3)
    ]
    names = [
        image.path.name
        for images in (split.train, split.query.images, split.gallery.images)
        for image in images
    ]
    assert sorted(names) == sorted(image.path.name for image in source.train)


def test_write_split_is_deterministic(tmp_path):
    root = make_market(tmp_path / "data")
    for name in ("first", "second"):
        write_split(root, tmp_path / name, people=2)
    first, second = (load_dataset("market1501", tmp_path / name) for name in ("first", "second"))
    assert [image.key for image in first.train] == [image.key for image in second.train]
    assert np.array_equal(first.query.pids, second.query.pids)


def test_row_reports_the_last_epoch(tmp_path):
    assert row(tmp_path / "arm_1", "arm", 1) == "| arm | 1 | 0 | - | - | - | - | - | - |"
    record = {"clusters": 7, "ari": 0.5, "mAP": 0.25, "rank-1": 0.5}
    speed = {"images_per_second": 10.0, "seconds_train": 3.0}
    (tmp_path / "arm_1").mkdir()
    with MetricsLog(tmp_path / "arm_1") as log:
        log.write(-1, {"mAP": 0.1, "rank-1": 0.1})
        log.write(0, {**record, **speed})
        log.write(1, {**record, **speed, "mAP": 0.3})
    (tmp_path / "arm_1" / "cpu_seconds").write_text("20\n11\n")
    actual = row(tmp_path / "arm_1", "arm", 1)
    assert actual == "| arm | 1 | 2 | 60 | 30.0 | 50.0 | 7 | 0.500 | 31 |"
