"""Advice of docs/faq.md that no other test covers."""

import pytest

from reid_gen.training.metrics_log import read_metrics
from tests.data.real_format import make_market
from tests.training.small import stop_after, train, write_config

pytestmark = pytest.mark.slow


def test_run_started_from_another_can_lower_its_learning_rate(tmp_path, monkeypatch):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    stop_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    monkeypatch.undo()
    run = tmp_path / "runs" / "tiny"
    overrides = ("stages.0.learning_rate=1e-4", "stages.0.epochs=1")
    second_run = train(config, "name=lower", f"start_from={run}", *overrides)
    assert [record["learning_rate"] for record in read_metrics(second_run)[1:]] == [1e-4]
