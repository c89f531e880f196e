"""Stages as built from their settings."""

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
    """A stage with the labels of a set of three people before one without labels."""
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


def test_generator_stage_mirrors_at_most(tmp_path):
    stages = experiment(write_joint_config(tmp_path))[0].trainer.stages
    seen = [(r.augmentation.flip, r.augmentation.pad, r.augmentation.erase) for r in stages]
    assert seen == [(0.5, 2, 0.3), (0.5, 0, 0.0), (0.5, 2, 0.3), (0.5, 2, 0.3)]


def test_stage_settings_override_those_of_the_run(tmp_path):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    own = (
        "stages.0.augment={flip: 0.1, pad: 4, erase: 0.2}",
        "stages.0.sampler={batch: 8, instances: null, camera_aware: true}",
        "stages.0.loss={temperature: 0.7, weights: {prototype: 2.0}}",
        "stages.0.clustering={k1: 9, eps: {kind: fixed, value: 0.3}}",
    )
    made, _ = experiment(config, *own)
    (stage,) = made.trainer.stages
    changes, sampler = stage.augmentation, stage.sampler
    assert (changes.flip, changes.pad, changes.erase) == (0.1, 4, 0.2)
    assert (sampler.batch, sampler.instances, len(sampler.camids)) == (8, None, 48)
    assert stage.contrast.keywords["temperature"] == 0.7
    assert stage.weights["prototype"] == 2.0
    assert (stage.cluster.keywords["k1"], stage.cluster.keywords["eps"].value) == (9, 0.3)
    assert made.about["protocol"]["camera_ids_used"] == "sampler"


@pytest.mark.parametrize("switch", ["true", "false"])
def test_evaluator_is_built_with_its_switches(tmp_path, switch):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    switches = [f"evaluation.{name}={switch}" for name in ("flip", "rerank")]
    evaluator = experiment(config, *switches, "evaluation.batch=7")[0].evaluator
    assert evaluator.flip == evaluator.reranked == (switch == "true")
    assert evaluator.batch == 7
    assert (len(evaluator.query.images), len(evaluator.gallery.images)) == (16, 51)
