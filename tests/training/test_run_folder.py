"""Run folders: created by one process, and written by one process at a time."""

import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reid_gen.cli.main import main
from reid_gen.config.load import load_config
from reid_gen.errors import UserError
from reid_gen.training import run as run_module
from reid_gen.training.metrics_log import read_metrics
from reid_gen.training.resume import load_resume
from reid_gen.training.run import start_run
from reid_gen.training.run_folder import locked, make_run, remove_run
from reid_gen.training.trainer import Trainer
from tests.data.real_format import make_market
from tests.training.small import experiment, write_config

pytestmark = pytest.mark.slow

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["reid_gen.training.run", "reid_gen.builders.experiment"])
PATIENCE = 300


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path, make_market(tmp_path / "data"))


def run_command(words, barrier, error_file, hook, epoch):
    """Run a command in this process.

    Args:
        words: Words of the command.
        barrier: Barrier before the run starts or resumes; None does not wait.
        error_file: Prefix of the file that receives standard error.
        hook: Function that waits at the barrier (``start_run`` or ``resume_run``), or signal that
            the process sends to itself before ``epoch``.
        epoch: Number of the epoch, from 1.
    """
    torch.set_num_threads(1)
    train_epoch = Trainer.epoch

    def signal_and_train(self, position):
        if position.number == epoch:
            os.kill(os.getpid(), hook)
        return train_epoch(self, position)

    Trainer.epoch = signal_and_train
    if barrier is not None:
        function = getattr(run_module, hook)

        def wait_and_run(*arguments):
            barrier.wait(PATIENCE)
            function(*arguments)

        setattr(run_module, hook, wait_and_run)
    sys.stderr = Path(f"{error_file}.{os.getpid()}.err").open("w", buffering=1)  # noqa: SIM115
    main(words)


def launch(words, error_file, *, barrier=None, hook="", epoch=0):
    arguments = (words, barrier, error_file, hook, epoch)
    process = FORK.Process(target=run_command, args=arguments)
    process.start()
    return process


def exit_codes(*processes):
    for process in processes:
        process.join(PATIENCE)
    return sorted(process.exitcode for process in processes)


def run_two(words, error_file, hook):
    """Run a command in two processes that start or resume the run at once; returns exit codes."""
    barrier = FORK.Barrier(2)
    return exit_codes(*[launch(words, error_file, barrier=barrier, hook=hook) for _ in range(2)])


def error_texts(error_file):
    files = sorted(error_file.parent.glob(f"{error_file.name}.*.err"))
    return [file.read_text() for file in files]


@pytest.fixture
def train_words(config):
    return ["train", "--config", str(config), "--set", "stages.0.iterations=1"]


def test_two_simultaneous_starts_leave_one_complete_run(train_words, tmp_path):
    assert run_two(train_words, tmp_path / "start", "start_run") == [0, 1]
    run = tmp_path / "runs" / "tiny"
    (text,) = (text for text in error_texts(tmp_path / "start") if "error:" in text)
    (message,) = (line for line in text.splitlines() if not line.startswith("note: "))
    assert message.startswith(f"error: {run} exists; choose another name")
    assert [record["epoch"] for record in read_metrics(run)] == [0, 1, 2]
    assert load_resume(run / "last")["epoch"] == 2


def test_two_simultaneous_resumes_write_each_epoch_once(train_words, tmp_path):
    killed = launch(train_words, tmp_path / "kill", hook=signal.SIGKILL, epoch=2)
    assert exit_codes(killed) == [-signal.SIGKILL]
    run = tmp_path / "runs" / "tiny"
    assert [record["epoch"] for record in read_metrics(run)] == [0, 1]
    words = ["train", "--resume", str(run)]
    assert run_two(words, tmp_path / "resume", "resume_run") == [0, 1]
    (text,) = (text for text in error_texts(tmp_path / "resume") if "error:" in text)
    assert f"error: another process writes into {run}: " in text
    assert [record["epoch"] for record in read_metrics(run)] == [0, 1, 2]


@pytest.mark.parametrize("epoch", [1, 2])
def test_train_says_how_to_resume_when_terminated(train_words, tmp_path, epoch):
    terminated = launch(train_words, tmp_path / "stop", hook=signal.SIGTERM, epoch=epoch)
    assert exit_codes(terminated) == [143]
    run = tmp_path / "runs" / "tiny"
    (text,) = error_texts(tmp_path / "stop")
    assert f"stopped; resume with: reid-gen train --resume {run}" in text
    assert load_resume(run / "last")["epoch"] == epoch - 1
    main(["train", "--resume", str(run)])
    assert [record["epoch"] for record in read_metrics(run)] == [0, 1, 2]


def test_start_run_leaves_no_folder_without_a_checkpoint(config, tmp_path, capsys, monkeypatch):
    def interrupt(experiment):
        assert (tmp_path / "runs" / "tiny").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "_scores", interrupt)
    with pytest.raises(SystemExit):
        main(["train", "--config", str(config)])
    assert list((tmp_path / "runs").iterdir()) == []
    assert "resume with" not in capsys.readouterr().err


def test_start_run_keeps_a_folder_that_replaced_its_own(config, tmp_path, monkeypatch):
    run = tmp_path / "runs" / "tiny"

    def replace_folder(experiment):
        run.rename(tmp_path / "removed")
        make_run(run)
        raise UserError("no")

    monkeypatch.setattr(run_module, "_scores", replace_folder)
    with pytest.raises(UserError, match="no"):
        start_run(experiment(config)[0], run, "")
    assert run.exists()


@pytest.mark.parametrize("name", [".", "..", ".hidden", "", "a/b", "../x", "a b", "ä", "a\\n"])
def test_load_config_refuses_a_name_that_is_no_new_folder(config, name):
    with pytest.raises(UserError, match="name: must be the name of a new folder in runs"):
        load_config(config, [f'name="{name}"'])


@pytest.mark.parametrize("name", ["a", "2024_v1.0", "-x", "_", "A..b"])
def test_load_config_accepts_a_name_with_dots_inside(config, name):
    assert load_config(config, [f'name="{name}"']).name == name


def test_start_run_never_removes_an_existing_folder(config, tmp_path):
    folder = tmp_path / "runs" / "tiny"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("text")
    with pytest.raises(UserError, match="exists; choose another name"):
        start_run(experiment(config)[0], folder, "")
    assert (folder / "notes.txt").read_text() == "text"


def test_make_run_names_the_cause_of_a_failure(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match=r"cannot write .*runs/tiny: Not a directory"):
        make_run(tmp_path / "runs" / "tiny")
    with pytest.raises(UserError, match="File name too long"):
        make_run(tmp_path / ("x" * 300))


def test_locked_is_released_when_its_process_is_killed(tmp_path):
    program = (
        "import sys, time; from pathlib import Path\n"
        "from reid_gen.training.run_folder import locked\n"
        "with locked(Path(sys.argv[1]), print):\n"
        "    print('locked', flush=True); time.sleep(300)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "locked\n"
    with (
        pytest.raises(UserError, match=f"another process writes into .*: process {holder.pid} on"),
        locked(tmp_path, print),
    ):
        pass
    holder.kill()
    holder.communicate()
    with locked(tmp_path, print):
        pass


def test_locked_warns_if_the_file_system_has_no_locks(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lines = []
    with locked(tmp_path, lines.append):
        pass
    assert lines == [
        f"{tmp_path} cannot be locked (No locks available); start nothing else that writes there"
    ]


def test_locked_refuses_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(UserError, match="cannot write"), locked(tmp_path, print):
        pass


def test_remove_run_leaves_nothing_if_a_signal_interrupts(tmp_path, monkeypatch):
    make_run(tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text("name: run")
    remove = shutil.rmtree

    def interrupt(path, **options):
        monkeypatch.setattr(shutil, "rmtree", remove)
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", interrupt)
    with pytest.raises(KeyboardInterrupt):
        remove_run(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
