"""Training in two processes on the CPU, compared with one process."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.data.real_format import make_market
from tests.training.joint import write_joint_config
from tests.training.small import write_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def launch(config, processes, stage=0, module="tests.training.two_ranks"):
    """Run a program in several processes; returns the ``bank`` and ``weights`` that each prints."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    distributed = {
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    launched = [
        subprocess.Popen(
            [sys.executable, "-m", module, str(config), str(stage)],
            env=environment
            if processes == 1
            else {**environment, **distributed, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    outputs = [process.communicate(timeout=300) for process in launched]
    errors = [err[-3000:] for _, err in outputs]
    assert all(process.returncode == 0 for process in launched), "\n".join(errors)
    results = []
    for out, _ in outputs:
        words = [line.split() for line in out.splitlines()]
        results.append({line[0]: line[1:] for line in words if line[:1] in (["bank"], ["weights"])})
    return results


def test_epoch_in_two_processes_equals_one_process(tmp_path):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    first, second = launch(config, 2)
    assert first == second
    (single,) = launch(config, 1)
    actual, expected = (np.array(result["weights"], float) for result in (first, single))
    np.testing.assert_allclose(actual, expected, rtol=0.02, atol=0.01)


def test_joint_epoch_agrees_if_a_process_may_have_no_views(tmp_path):
    config = write_joint_config(tmp_path, usable=0.2)
    first, second = launch(config, 2, stage=2)
    assert first == second


def test_all_gather_with_grad_gives_the_gradient_of_one_process():
    module = "tests.training.two_ranks_gather"
    first, second = launch("", 2, module=module)
    (single,) = launch("", 1, module=module)
    assert first == second
    actual, expected = (np.array(result["weights"], float) for result in (first, single))
    np.testing.assert_allclose(actual, expected, atol=2e-6)
    assert np.abs(expected).max() > 0.1
