"""Settings of sampling, clustering and loss reach the objects that use them."""

import numpy as np
import pytest
import torch

from reid_gen.cluster.pseudo_labels import FixedEps, pseudo_labels
from reid_gen.errors import UserError
from reid_gen.training.stages import epochs_of
from tests.cluster.features import make_features
from tests.data.real_format import make_folder, make_market
from tests.training.small import experiment, write_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    return write_config(folder, make_market(folder / "data"))


@pytest.fixture(scope="module")
def without_cameras(tmp_path_factory):
    """Overrides that select a data set without cameras."""
    return f"data.root={make_folder(tmp_path_factory.mktemp('folder'))}", "data.name=folder"


def test_camera_norm_reaches_the_clustering(config):
    built, _ = experiment(config, "clustering.camera_norm=true")
    images = built.trainer.loader.images
    camids = np.array([image.camid for image in images])
    features, _ = make_features(persons=len(images) // 6, each=6)
    expected = pseudo_labels(features, eps=FixedEps(0.6), k1=6, k2=2, min_samples=2, camids=camids)
    assert built.trainer.stages[0].cluster(features).labels.tolist() == expected.labels.tolist()
    assert built.about["protocol"]["camera_ids_used"] == "clustering"


def test_camera_proxy_reaches_bank_and_terms(config):
    built, _ = experiment(config, "loss.weights.camera_proxy=0.5", "loss.proxy_negatives=3")
    trainer = built.trainer
    assert built.about["protocol"]["camera_ids_used"] == "loss"
    epoch = trainer.epoch(next(epochs_of(trainer.stages)))
    assert epoch.record["loss_camera_proxy"] > 0
    assert len(epoch.bank.proxies.features) > len(epoch.bank.prototypes)
    assert trainer.stages[0].contrast(epoch.bank).proxy_negatives == 3


def test_weak_view_alone_trains_the_encoder(config):
    built, _ = experiment(config, "loss.weights={prototype: 0, weak_view: 1}")
    trainer = built.trainer
    before = trainer.encoder.backbone.conv1.weight.detach().clone()
    record = trainer.epoch(next(epochs_of(trainer.stages))).record
    assert [name for name in record if name.startswith("loss_")] == ["loss_weak_view"]
    assert not torch.equal(trainer.encoder.backbone.conv1.weight, before)


@pytest.mark.parametrize(
    ("setting", "on", "off"),
    [
        ("sampler.camera_aware", "true", "false"),
        ("clustering.camera_norm", "true", "false"),
        ("loss.weights.camera_proxy", "0.5", "0"),
    ],
)
def test_build_stages_names_a_setting_that_needs_cameras(setting, on, off, config, without_cameras):
    expected = f"{setting} needs the camera of every image, .*; set {setting} to {off}$"
    with pytest.raises(UserError, match=expected):
        experiment(config, *without_cameras, f"{setting}={on}")
