"""The parts that docs/extending.md adds work as parts of the project."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from reid_gen.cluster.algorithms import ALGORITHMS
from reid_gen.data.check import check_dataset
from reid_gen.data.datasets import DATASETS, Counts
from reid_gen.errors import UserError
from reid_gen.models.backbone import BACKBONES, BackboneSpec
from tests.cluster.features import make_features
from tests.data.real_format import draw_person
from tests.documents.pages import ROOT, blocks, text_of
from tests.generators import test_contracts as contracts
from tests.generators.scenes import make_encoder

pytestmark = pytest.mark.slow

DATA_SET, BACKBONE, ALGORITHM, GENERATOR = range(4)
"""Index of each part's block on the page."""


@pytest.fixture
def tables():
    """Restore the tables that the blocks add to."""
    originals = [(table, dict(table)) for table in (DATASETS, BACKBONES, ALGORITHMS)]
    yield
    for table, original in originals:
        table.clear()
        table.update(original)


def run_block(part, **namespace):
    """Run a block of the page and return the names that it defines."""
    code = blocks(text_of(ROOT / "docs" / "extending.md"), "python")
    assert len(code) == 4
    exec(code[part], namespace)
    return namespace


def test_added_data_set_is_read_and_checked(tables, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split, first in (("train", 1), ("query", 11), ("gallery", 11)):
        for person in range(first, first + 4):
            for camera in (1, 2):
                name = f"{person:04d}-cam{camera}-{100 * camera:06d}.jpg"
                draw_person(Path("data/station") / split / name, person, camera, 0)
    dataset = run_block(DATA_SET)["dataset"]
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


def test_added_backbone_gives_unit_features_at_any_stride(tables):
    names = run_block(BACKBONE)
    torch.testing.assert_close(names["features"].norm(dim=1), torch.ones(2))
    assert names["features"].shape == (2, names["encoder"].feature_size) == (2, 256)
    for stride, rows in ((1, 8), (2, 4)):
        backbone = BACKBONES["four_convolutions"](BackboneSpec("four_convolutions", 64, 32, stride))
        assert backbone.network(torch.rand(2, 3, 64, 32)).shape == (2, 256, rows, rows // 2)
    for unsupported in ({"last_stride": None}, {"hub": "imagenet"}, {"class_token": True}):
        spec = BackboneSpec(
            **{"name": "x", "height": 64, "width": 32, "last_stride": 1, **unsupported}
        )
        with pytest.raises(UserError):
            BACKBONES["four_convolutions"](spec)


def test_added_algorithm_separates_people_and_outliers(tables):
    features, pids = make_features(persons=12, each=9, noise=0.4)
    single_images, _ = make_features(persons=7, each=1, seed=5)
    labels = run_block(ALGORITHM, features=np.concatenate([features, single_images]))["labels"]
    assert labels.dtype == np.int64
    assert adjusted_rand_score(pids, labels[: len(pids)]) > 0.95
    first = [int(np.flatnonzero(labels == label)[0]) for label in range(labels.max() + 1)]
    assert first == sorted(first)


def test_added_generator_fulfils_the_protocol():
    contract_tests = [
        test
        for name, test in inspect.getmembers(contracts, inspect.isfunction)
        if name.startswith("test_") and list(inspect.signature(test).parameters) == ["scene"]
    ]
    assert len(contract_tests) > 4
    for test in contract_tests:
        torch.manual_seed(0)
        test((make_encoder(), run_block(GENERATOR)["generator"], 1))
