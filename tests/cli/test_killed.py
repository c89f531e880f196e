"""`reid-gen generate` killed by SIGKILL, which no process can catch."""

import multiprocessing
import os
import signal
import sys

import numpy as np
import pytest

from reid_gen.cli.main import main

pytestmark = pytest.mark.slow

KILLS = 10
EVENTS = {"open", "os.mkdir", "os.rename"}


def generate_until(run, out, moment):
    """Generate groups; kill the process at the ``moment``-th file operation below ``out``."""
    from reid_gen.positives import generate as module

    module.PART = 1
    count = 0

    def audit(event, args):
        nonlocal count
        if event in EVENTS and str(args[0]).startswith(out):
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    main(["generate", run, "--out", out, "--members", "3"])


@pytest.fixture(scope="module")
def generate():
    """Return a function that runs :func:`generate_until` in a fork and returns its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["reid_gen.training.run", "reid_gen.positives.generate"])

    def generate(run, out, moment=0):
        process = context.Process(target=generate_until, args=(str(run), str(out), moment))
        process.start()
        process.join()
        return process.exitcode

    return generate


def content(folder):
    return {p.relative_to(folder): p.is_file() and p.read_bytes() for p in folder.rglob("*")}


def test_generate_killed_ten_times_writes_the_same_files(gan_run, tmp_path, generate):
    killed, uninterrupted = tmp_path / "killed", tmp_path / "uninterrupted"
    assert generate(gan_run, uninterrupted) == 0
    leftovers = set()
    for moment in (3, *np.random.default_rng(1).integers(1, 10, KILLS - 1)):
        assert generate(gan_run, killed, int(moment)) == -signal.SIGKILL
        leftovers |= {path.name for path in killed.iterdir()}
    assert ".groups.json.partial" in leftovers
    assert any(".partial-" in name for name in leftovers)
    assert generate(gan_run, killed) == 0
    assert content(killed) == content(uninterrupted)
    assert len(list(killed.rglob("*.jpg"))) == 27
