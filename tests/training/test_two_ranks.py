import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.data.real_format import make_market
from tests.training.joint import write_joint_config
from tests.training.small import write_config

ROOT = Path(__file__).parents[2]


def launch(config, processes, stage=0, module="tests.training.two_ranks"):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    several = {
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-m", module, str(config), str(stage)],
            env=shared
            if processes == 1
            else {**shared, **several, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    outputs = [process.communicate(timeout=300) for process in running]
    failures = [err[-3000:] for _, err in outputs]
    assert all(process.returncode == 0 for process in running), "\n".join(failures)
    lines = [out.splitlines() for out, _ in outputs]
    return [
        {line.split()[0]: line.split()[1:] for line in one if line[:4] in ("bank", "weig")}
        for one in lines
    ]


def test_two_processes_share_bank_and_weights_and_equal_one_process(tmp_path):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    one, other = launch(config, 2)
    assert one == other
    alone = launch(config, 1)[0]
    np.testing.assert_allclose(
        np.array(one["weights"], float), np.array(alone["weights"], float), rtol=0.02, atol=0.01
    )


def test_two_processes_agree_on_the_generator_too_though_one_may_have_no_views(tmp_path):
    joint_config = write_joint_config(tmp_path, usable=0.2)
    one, other = launch(joint_config, 2, stage=2)
    assert one == other


def test_the_gradient_of_a_contrast_over_processes_equals_one_process():
    module = "tests.training.two_ranks_gather"
    one, other = launch("", 2, module=module)
    alone = launch("", 1, module=module)[0]
    assert one == other
    found, wanted = (np.array(run["weights"], float) for run in (one, alone))
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    assert np.abs(wanted).max() > 0.1
