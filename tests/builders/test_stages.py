"""Stages and evaluator as built from their settings."""

import numpy as np
import pytest

from reid_gen.data.datasets import load_dataset
from tests.data.real_format import make_market
from tests.training.joint import write_joint_config
from tests.training.small import experiment, write_config

SOURCE = """\
source: {{name: market1501, root: {root}}}
stages:
  - {{name: source, labels: source, epochs: 1, iterations: 1}}
  - {{name: identity, epochs: 1, iterations: 1}}
"""


@pytest.fixture
def uda_config(tmp_path):
    """Configuration of a stage with source labels (3 people), and of one without labels."""
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    head, tail = config.read_text().split("stages:\n")
    source = SOURCE.format(root=make_market(tmp_path / "source", people=3))
    config.write_text(head + source + tail[tail.index("evaluation:") :])
    return config


def test_source_stage_has_the_labels_of_the_source(uda_config, tmp_path):
    first, second = experiment(uda_config)[0].trainer.stages
    source = load_dataset("market1501", tmp_path / "source")
    assert first.sampler.loader.images == source.train
    assert first.labels.tolist() == np.unique(source.train_pids, return_inverse=True)[1].tolist()
    assert second.labels is None
    assert second.sampler.loader.images == load_dataset("market1501", tmp_path / "data").train


def test_generator_stage_only_mirrors_images(tmp_path):
    stages = experiment(write_joint_config(tmp_path))[0].trainer.stages
    augmentations = [stage.augmentation for stage in stages]
    actual = [(a.flip, a.pad, a.erase) for a in augmentations]
    assert actual == [(0.5, 2, 0.3), (0.5, 0, 0.0), (0.5, 2, 0.3), (0.5, 2, 0.3)]


def test_stage_settings_override_those_of_the_run(tmp_path):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    overrides = (
        "stages.0.augment={flip: 0.1, pad: 4, erase: 0.2}",
        "stages.0.sampler={batch: 8, instances: null, camera_aware: true}",
        "stages.0.loss={temperature: 0.7, weights: {prototype: 2.0}}",
        "stages.0.clustering={k1: 9, eps: {kind: fixed, value: 0.3}}",
    )
    built, _ = experiment(config, *overrides)
    (stage,) = built.trainer.stages
    augmentation, sampler = stage.augmentation, stage.sampler
    assert (augmentation.flip, augmentation.pad, augmentation.erase) == (0.1, 4, 0.2)
    assert (sampler.batch, sampler.instances, len(sampler.camids)) == (8, None, 48)
    assert stage.contrast.keywords["temperature"] == 0.7
    assert stage.weights["prototype"] == 2.0
    assert (stage.cluster.keywords["k1"], stage.cluster.keywords["eps"].value) == (9, 0.3)
    assert built.about["protocol"]["camera_ids_used"] == "sampler"


@pytest.mark.parametrize("switch", ["true", "false"])
def test_build_evaluator_follows_the_settings(tmp_path, switch):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    overrides = [f"evaluation.{name}={switch}" for name in ("flip", "rerank")]
    evaluator = experiment(config, *overrides, "evaluation.batch=7")[0].evaluator
    assert evaluator.flip == evaluator.rerank == (switch == "true")
    assert evaluator.batch == 7
    assert (len(evaluator.query.images), len(evaluator.gallery.images)) == (16, 51)
