import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reid_gen.cli.main import main
from reid_gen.training.metrics_log import read_metrics
from tests.data.real_format import make_market
from tests.training.small import write_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EPOCHS = 6
TIMEOUT = 120
"""Seconds."""


def wait_for_first_epoch(run: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + TIMEOUT
    while not (run / "last").is_dir():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no epoch ended"
        time.sleep(0.02)


def test_train_interrupted_by_ctrl_c_can_be_resumed(tmp_path):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    run = tmp_path / "runs" / "tiny"
    words = ["tools/train.py", "--config", str(config), "--set", f"stages.0.epochs={EPOCHS}"]
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Shells start background processes with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for_first_epoch(run, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)  # while the process ends
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert errors.endswith(f"stopped; resume with: reid-gen train --resume {run}\n")
    assert "Traceback" not in errors
    assert len(read_metrics(run)) <= EPOCHS
    main(["train", "--resume", str(run)])
    assert [record["epoch"] for record in read_metrics(run)] == list(range(EPOCHS + 1))
