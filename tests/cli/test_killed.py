"""`reid-gen generate` under SIGKILL, which no program can catch."""

import multiprocessing
import os
import signal
import sys

import numpy as np
import pytest

from reid_gen.cli.main import main

KILLS = 10
EVENTS = {"open", "os.mkdir", "os.rename"}


def generate_until(run, out, moment):
    """Make groups, and die at the ``moment``-th time that something below ``out`` is touched."""
    from reid_gen.positives import generate as module

    module.PART = 1
    seen = 0

    def watch(event, arguments):
        nonlocal seen
        if event in EVENTS and str(arguments[0]).startswith(out):
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    main(["generate", run, "--out", out, "--members", "3"])


@pytest.fixture(scope="module")
def generate():
    """Runs it in a process of its own, which costs no import; returns the exit code."""
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


@pytest.mark.slow
def test_killed_ten_times_and_started_again_it_leaves_the_files_of_one_run(
    gan_run, tmp_path, generate
):
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    assert generate(gan_run, whole) == 0
    left = set()
    for moment in (3, *np.random.default_rng(1).integers(1, 10, KILLS - 1)):
        assert generate(gan_run, cut, int(moment)) == -signal.SIGKILL
        left |= {path.name for path in cut.iterdir()}
    assert ".groups.json.partial" in left
    assert any(".partial-" in name for name in left)
    assert generate(gan_run, cut) == 0
    assert content(cut) == content(whole)
    assert len(list(cut.rglob("*.jpg"))) == 27
