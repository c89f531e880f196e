"""Ways out that docs/faq.md gives, where no other test goes them."""

import pytest

from reid_gen.training.metrics_log import read_metrics
from tests.data.real_format import make_market
from tests.training.small import stop_after, train, write_config


def test_a_lower_learning_rate_is_for_a_run_that_starts_from_the_last(tmp_path, monkeypatch):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    stop_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    monkeypatch.undo()
    run = tmp_path / "runs" / "tiny"
    lower = ("stages.0.learning_rate=1e-4", "stages.0.epochs=1")
    other = train(config, "name=lower", f"start_from={run}", *lower)
    assert [record["learning_rate"] for record in read_metrics(other)[1:]] == [1e-4]
