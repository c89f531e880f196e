"""The share of a run's batches that each of several processes gets."""

import pytest

from reid_gen.builders.processes import settings_of_process
from reid_gen.config.load import load_config
from reid_gen.errors import UserError
from tests.documents.pages import ROOT


def load(name, *overrides):
    return load_config(ROOT / "configs" / f"{name}.yaml", overrides)


def test_settings_of_process_divide_batches_of_views():
    config = load("gcl_pedestrians", "generator.batch=12", "generator.train_batch=8")
    share = settings_of_process(config, 4)
    assert (share.generator.batch, share.generator.train_batch) == (3, 2)
    assert share.sampler == config.sampler
    assert settings_of_process(config, 1) == config


@pytest.mark.parametrize(
    ("name", "override", "processes"),
    [
        ("baseline_pedestrians", "sampler.batch=72", 16),
        ("gcl_pedestrians", "generator.batch=24", 16),
        ("gcl_pedestrians", "generator.train_batch=10", 4),
        ("genpoccl_pretrain", "pose.batch=12", 8),
    ],
)
def test_settings_of_process_refuse_unequal_shares(name, override, processes):
    setting, value = override.split("=")
    config = load(name, override)
    with pytest.raises(UserError) as refused:
        settings_of_process(config, processes)
    assert f"{setting} is {value} and there are {processes} processes" in str(refused.value)
    assert f"give a multiple of {processes} from {2 * processes} on" in str(refused.value)
