"""Epochs in metrics.jsonl and TensorBoard: each is logged once, and 0 is before training."""

import threading

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from tensorboard.summary.writer.record_writer import RecordWriter

from reid_gen.errors import UserError
from reid_gen.training.metrics_log import MetricsLog, read_metrics


@pytest.fixture(autouse=True)
def number_event_files(monkeypatch):
    """Number event files from 0, because TensorBoard sorts 10 before 9 in the same second."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def tensorboard_curve(run):
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {event.step: round(event.value, 4) for event in events.Scalars("mAP")}


def test_metrics_log_continues_after_the_last_epoch(tmp_path):
    with MetricsLog(tmp_path) as log:
        for epoch in range(3):
            log.write(epoch, {"mAP": epoch / 10})
    with MetricsLog(tmp_path, log.text, 3) as log:
        log.write(3, {"mAP": 0.3})
    assert tensorboard_curve(tmp_path) == {0: 0.0, 1: 0.1, 2: 0.2, 3: 0.3}
    assert [record["epoch"] for record in read_metrics(tmp_path)] == [0, 1, 2, 3]


def test_metrics_log_drops_an_epoch_without_checkpoint(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write(0, {"mAP": 0.0})
        text = log.text
        log.write(1, {"mAP": 0.1})
    with MetricsLog(tmp_path, text, 1) as log:
        log.write(1, {"mAP": 0.5})
    assert tensorboard_curve(tmp_path) == {0: 0.0, 1: 0.5}
    assert read_metrics(tmp_path) == [{"epoch": 0, "mAP": 0.0}, {"epoch": 1, "mAP": 0.5}]


def test_read_metrics_skips_an_incomplete_last_line(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0}\n{"epo')
    assert read_metrics(tmp_path) == [{"epoch": 0}]


@pytest.mark.parametrize("line", ["garbage", "[]", "5", "{}", '{"epoch": null}', "{" * 9, ""])
def test_read_metrics_names_a_damaged_line(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{{"epoch": 0}}\n{line}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl:2: this is no record of an epoch; "):
        read_metrics(tmp_path)


def test_metrics_log_reports_a_file_it_cannot_write(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write(0, {})
        (tmp_path / "metrics.jsonl").unlink()
        (tmp_path / "metrics.jsonl").mkdir()
        with pytest.raises(UserError, match=r"cannot write .*metrics\.jsonl: Is a directory"):
            log.write(1, {})
    with pytest.raises(
        UserError, match=r"metrics\.jsonl is a folder or a device, not a regular file"
    ):
        MetricsLog(tmp_path)


def test_metrics_log_raises_an_error_of_tensorboard_once(tmp_path, monkeypatch):
    def fill_disk(self, content):
        raise OSError(28, "No space left on device")

    traces = []
    monkeypatch.setattr(threading, "excepthook", traces.append)

    def write_to_a_full_disk():
        with MetricsLog(tmp_path) as log:
            log.write(0, {"mAP": 0.1})
            monkeypatch.setattr(RecordWriter, "write", fill_disk)
            log.write(1, {"mAP": 0.2})

    with pytest.raises(UserError) as error:
        write_to_a_full_disk()
    assert str(error.value).startswith(
        f"cannot write {tmp_path / 'tensorboard'}: No space left on device; "
    )
    assert not traces
    assert threading.excepthook == traces.append
