"""A run folder belongs to one process."""

import errno
import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from reid_gen.cli.main import main
from reid_gen.config.load import load_config
from reid_gen.errors import UserError
from reid_gen.training.metrics_log import read_metrics
from reid_gen.training.resume import load_resume
from reid_gen.training.run_folder import locked, make_run
from tests.data.real_format import make_market
from tests.training.small import experiment, write_config

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["reid_gen.training.run", "reid_gen.builders.experiment"])
PATIENCE = 300


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path, make_market(tmp_path / "data"))


def command(words, barrier, stage, moment):
    """Run the command line; at an epoch, wait at the barrier, or kill the process."""
    import torch

    from reid_gen.training.trainer import Trainer

    torch.set_num_threads(1)
    epoch = Trainer.epoch

    def watched(self, place):
        if place.number == moment:
            if stage == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if stage == "stop":
                os.kill(os.getpid(), signal.SIGTERM)
        return epoch(self, place)

    Trainer.epoch = watched
    if barrier is not None:
        from reid_gen.training import run

        go = {"start": "start_run", "resume": "resume_run"}[stage]
        inner = getattr(run, go)

        def together(*arguments):
            barrier.wait(PATIENCE)
            inner(*arguments)

        setattr(run, go, together)
    sys.stderr = open(f"{words[-1]}.{os.getpid()}.err", "w", buffering=1)  # noqa: PTH123, SIM115
    main(words[:-1])


def launch(words, folder, barrier=None, stage="", moment=0):
    process = FORK.Process(
        target=command, args=([*words, str(folder / stage)], barrier, stage, moment)
    )
    process.start()
    return process


def ended(*processes):
    for process in processes:
        process.join(PATIENCE)
    return sorted(process.exitcode for process in processes)


def errors(folder, stage):
    return [file.read_text() for file in sorted(folder.glob(f"{stage}.*.err"))]


def test_two_starts_of_one_name_leave_one_whole_run(config, tmp_path):
    words = ["train", "--config", str(config), "--set", "stages.0.iterations=1"]
    barrier = FORK.Barrier(2)
    both = [launch(words, tmp_path, barrier, "start") for _ in range(2)]
    assert ended(*both) == [0, 1]
    run = tmp_path / "runs" / "tiny"
    lost = [text for text in errors(tmp_path, "start") if "error:" in text]
    assert len(lost) == 1
    said = [line for line in lost[0].splitlines() if not line.startswith("note: ")]
    assert len(said) == 1
    assert said[0].startswith(f"error: {run} exists; choose another name")
    assert [record["epoch"] for record in read_metrics(run)] == [0, 1, 2]
    assert load_resume(run / "last")["epoch"] == 2


def test_two_resumes_of_a_killed_run_write_each_epoch_once(config, tmp_path):
    words = ["train", "--config", str(config), "--set", "stages.0.iterations=1"]
    assert ended(launch(words, tmp_path, stage="kill", moment=2)) == [-signal.SIGKILL]
    run = tmp_path / "runs" / "tiny"
    assert [record["epoch"] for record in read_metrics(run)] == [0, 1]
    barrier = FORK.Barrier(2)
    words = ["train", "--resume", str(run)]
    both = [launch(words, tmp_path, barrier, "resume") for _ in range(2)]
    assert ended(*both) == [0, 1]
    lost = [text for text in errors(tmp_path, "resume") if "error:" in text]
    assert len(lost) == 1
    assert f"error: another process writes into {run}: " in lost[0]
    assert [record["epoch"] for record in read_metrics(run)] == [0, 1, 2]


@pytest.mark.parametrize("moment", [1, 2])
def test_train_that_is_terminated_says_how_to_go_on(config, tmp_path, moment):
    words = ["train", "--config", str(config), "--set", "stages.0.iterations=1"]
    assert ended(launch(words, tmp_path, stage="stop", moment=moment)) == [130]
    run = tmp_path / "runs" / "tiny"
    assert f"stopped; resume with: reid-gen train --resume {run}" in errors(tmp_path, "stop")[0]
    assert load_resume(run / "last")["epoch"] == moment - 1
    main(["train", "--resume", str(run)])
    assert [record["epoch"] for record in read_metrics(run)] == [0, 1, 2]


def test_start_run_stopped_before_its_first_checkpoint_leaves_no_folder(config, tmp_path, capsys):
    from reid_gen.training import run as module

    def interrupt(experiment):
        assert (tmp_path / "runs" / "tiny").exists()
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_scores", interrupt)
        with pytest.raises(SystemExit):
            main(["train", "--config", str(config)])
    assert list((tmp_path / "runs").iterdir()) == []
    assert "go on with" not in capsys.readouterr().err


def test_start_run_that_fails_leaves_a_new_folder_of_its_name(config, tmp_path, monkeypatch):
    from reid_gen.training import run as module

    run = tmp_path / "runs" / "tiny"

    def replace(experiment):
        run.rename(tmp_path / "removed")
        make_run(run)
        raise UserError("no")

    monkeypatch.setattr(module, "_scores", replace)
    made, _ = experiment(config)
    with pytest.raises(UserError, match="no"):
        module.start_run(made, run, "")
    assert run.exists()


@pytest.mark.parametrize("name", [".", "..", ".hidden", "", "a/b", "../x", "a b", "ä", "a\\n"])
def test_load_config_refuses_names_that_are_no_new_folder(config, name):
    with pytest.raises(UserError, match="name: must be the name of a new folder in runs"):
        load_config(config, [f'name="{name}"'])


@pytest.mark.parametrize("name", ["a", "2024_v1.0", "-x", "_", "A..b"])
def test_load_config_takes_names_with_dots_inside(config, name):
    assert load_config(config, [f'name="{name}"']).name == name


def test_start_run_never_removes_a_folder_that_was_there(config, tmp_path):
    other = tmp_path / "runs" / "tiny"
    other.mkdir(parents=True)
    (other / "letter").write_text("to grandmother")
    from reid_gen.training.run import start_run

    made, _ = experiment(config)
    with pytest.raises(UserError, match="exists; choose another name"):
        start_run(made, other, "")
    assert (other / "letter").read_text() == "to grandmother"


def test_make_run_says_why_it_cannot(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match=r"cannot write .*runs/tiny: Not a directory"):
        make_run(tmp_path / "runs" / "tiny")
    with pytest.raises(UserError, match="File name too long"):
        make_run(tmp_path / ("x" * 300))


def test_locked_opens_when_its_process_is_killed(tmp_path):
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


def test_locked_says_where_there_are_no_locks(tmp_path, monkeypatch):
    def refuse(file, how):
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
