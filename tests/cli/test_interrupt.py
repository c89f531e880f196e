import signal
import subprocess
import sys
import time
from pathlib import Path

from reid_gen.cli.main import main
from reid_gen.training.metrics_log import read_metrics
from tests.data.real_format import make_market
from tests.training.small import write_config

ROOT = Path(__file__).parents[2]
EPOCHS = 6
PATIENCE = 120


def wait_for_an_epoch(run: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE
    while not (run / "last").is_dir():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no epoch ended"
        time.sleep(0.02)


def test_ctrl_c_leaves_a_checkpoint_that_resumes(tmp_path):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    run = tmp_path / "runs" / "tiny"
    words = ["tools/train.py", "--config", str(config), "--set", f"stages.0.epochs={EPOCHS}"]
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell starts background programs with this signal ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for_an_epoch(run, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert f"stopped; go on with: reid-gen train --resume {run}" in errors
    assert "Traceback" not in errors
    done = len(read_metrics(run))
    assert done <= EPOCHS
    main(["train", "--resume", str(run)])
    assert [record["epoch"] for record in read_metrics(run)] == list(range(EPOCHS + 1))
