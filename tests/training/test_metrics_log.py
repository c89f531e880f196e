"""Epochs in metrics.jsonl and tensorboard: each is there once, and 0 is before training."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reid_gen.errors import UserError
from reid_gen.training.metrics_log import MetricsLog, read_metrics


def curve(run):
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    return {event.step: round(event.value, 4) for event in board.Scalars("mAP")}


def test_journal_keeps_the_value_before_training_and_every_epoch(tmp_path):
    with MetricsLog(tmp_path) as journal:
        for epoch in range(3):
            journal.write(epoch, {"mAP": epoch / 10})
    whole = journal.text
    with MetricsLog(tmp_path, whole, 3) as journal:
        journal.write(3, {"mAP": 0.3})
    assert curve(tmp_path) == {0: 0.0, 1: 0.1, 2: 0.2, 3: 0.3}
    assert [record["epoch"] for record in read_metrics(tmp_path)] == [0, 1, 2, 3]


def test_journal_drops_an_epoch_that_has_no_checkpoint(tmp_path):
    with MetricsLog(tmp_path) as journal:
        journal.write(0, {"mAP": 0.0})
        kept = journal.text
        journal.write(1, {"mAP": 0.1})
    with MetricsLog(tmp_path, kept, 1) as journal:
        journal.write(1, {"mAP": 0.5})
    assert curve(tmp_path) == {0: 0.0, 1: 0.5}
    assert read_metrics(tmp_path) == [{"epoch": 0, "mAP": 0.0}, {"epoch": 1, "mAP": 0.5}]


def test_read_metrics_leaves_out_a_line_that_is_being_written(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0}\n{"epo')
    assert read_metrics(tmp_path) == [{"epoch": 0}]


@pytest.mark.parametrize("line", ["garbage", "[]", "5", "{}", '{"epoch": null}', "{" * 9, ""])
def test_read_metrics_names_a_damaged_line(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{{"epoch": 0}}\n{line}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl:2: this is no record of an epoch; "):
        read_metrics(tmp_path)


def test_journal_that_cannot_be_written_says_so(tmp_path):
    with MetricsLog(tmp_path) as journal:
        journal.write(0, {})
        (tmp_path / "metrics.jsonl").unlink()
        (tmp_path / "metrics.jsonl").mkdir()
        with pytest.raises(UserError, match=r"cannot write .*metrics\.jsonl: Is a directory"):
            journal.write(1, {})
    with pytest.raises(UserError, match=r"metrics\.jsonl is a folder or a device, and no file"):
        MetricsLog(tmp_path)
