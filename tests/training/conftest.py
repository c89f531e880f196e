"""Finished runs that several modules share; each is trained once per session."""

import pytest

from tests.data.real_format import make_market
from tests.training.joint import write_joint_config
from tests.training.small import train, write_config


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Finished run of two epochs beside its ``data``; tests must not change either."""
    folder = tmp_path_factory.mktemp("tiny")
    return train(write_config(folder, make_market(folder / "data")))


@pytest.fixture(scope="session")
def joint_run(tmp_path_factory):
    """Finished joint run of four stages beside its ``data`` and ``bodies``; read-only too."""
    return train(write_joint_config(tmp_path_factory.mktemp("joint")))
