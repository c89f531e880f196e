"""The parts that docs/extending.md adds are what the project takes them for."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from reid_gen.cluster.algorithms import RULES
from reid_gen.data.check import check_dataset
from reid_gen.data.datasets import DATASETS, Counts
from reid_gen.errors import UserError
from reid_gen.models.backbone import BACKBONES, BackboneSpec
from tests.cluster.features import make_features
from tests.data.real_format import draw_person
from tests.documents.pages import ROOT, blocks, text_of
from tests.generators import test_contracts as contracts
from tests.generators.scenes import make_encoder

DATA_SET, BACKBONE, RULE, GENERATOR = range(4)


@pytest.fixture
def tables():
    """The tables without what a page adds to them."""
    kept = [(table, dict(table)) for table in (DATASETS, BACKBONES, RULES)]
    yield
    for table, before in kept:
        table.clear()
        table.update(before)


def added(part, **names):
    """What a block of the page leaves."""
    code = blocks(text_of(ROOT / "docs" / "extending.md"), "python")
    assert len(code) == 4
    exec(code[part], names)
    return names


def test_a_data_set_is_read_and_compared_with_its_counts(tables, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split, first in (("train", 1), ("query", 11), ("gallery", 11)):
        for person in range(first, first + 4):
            for camera in (1, 2):
                name = f"{person:04d}-cam{camera}-{100 * camera:06d}.jpg"
                draw_person(Path("data/station") / split / name, person, camera, 0)
    dataset = added(DATA_SET)["dataset"]
    assert dataset.train[0].key == "train/0001-cam1-000100.jpg"
    assert [image.camid for image in dataset.train[:2]] == [0, 1]
    assert dataset.query.pids.tolist() == [11, 11, 12, 12, 13, 13, 14, 14]
    report = check_dataset("station", Path("data"))
    assert report.notes == ("filmed in one hall",)
    assert report.splits[0].actual == Counts(8, 4, 2)
    assert report.agrees
    Path("data/station/train/me.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"do not look like 0012-cam3-000451.jpg"):
        check_dataset("station", Path("data"))


def test_a_backbone_gives_unit_features_at_either_stride(tables):
    names = added(BACKBONE)
    torch.testing.assert_close(names["features"].norm(dim=1), torch.ones(2))
    assert names["features"].shape == (2, names["encoder"].feature_size) == (2, 256)
    for stride, rows in ((1, 8), (2, 4)):
        made = BACKBONES["four_convolutions"](BackboneSpec("four_convolutions", 64, 32, stride))
        assert made.network(torch.rand(2, 3, 64, 32)).shape == (2, 256, rows, rows // 2)
    for wrong in ({"last_stride": None}, {"hub": "imagenet"}, {"class_token": True}):
        request = BackboneSpec(
            **{"name": "x", "height": 64, "width": 32, "last_stride": 1, **wrong}
        )
        with pytest.raises(UserError):
            BACKBONES["four_convolutions"](request)


def test_a_rule_finds_people_that_are_far_apart_and_leaves_the_lonely(tables):
    features, pids = make_features(persons=12, each=9, noise=0.4)
    lonely, _ = make_features(persons=7, each=1, seed=5)
    found = added(RULE, features=np.concatenate([features, lonely]))["labels"]
    assert found.dtype == np.int64
    assert adjusted_rand_score(pids, found[: len(pids)]) > 0.95
    first = [int(np.flatnonzero(found == label)[0]) for label in range(found.max() + 1)]
    assert first == sorted(first)


def test_a_generator_keeps_to_the_protocol_as_every_other():
    held = [
        test
        for name, test in inspect.getmembers(contracts, inspect.isfunction)
        if name.startswith("test_") and list(inspect.signature(test).parameters) == ["scene"]
    ]
    assert len(held) > 4
    for test in held:
        torch.manual_seed(0)
        test((make_encoder(), added(GENERATOR)["generator"], 1))
