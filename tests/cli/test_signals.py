"""Signals that stop a run: exit code, last line, and what a second one does."""

import os
import signal
import subprocess
import sys

import pytest

from reid_gen.cli.signals import STOPS, stoppable


@pytest.fixture(autouse=True)
def restore_handlers():
    handlers = {number: signal.getsignal(number) for number in STOPS}
    for number in STOPS:  # a shell starts its background jobs with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def kill_self(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


def exit_code_of(work, last_line=lambda: "how to go on"):
    """Exit code of a function that a signal must interrupt."""
    with pytest.raises(SystemExit) as error, stoppable(last_line):
        work()
    return error.value.code


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_stoppable_exits_with_the_code_of_the_signal(number, code, capsys):
    assert exit_code_of(lambda: kill_self(getattr(signal, number))) == code
    assert capsys.readouterr().err == "\nhow to go on\n"


def test_stoppable_makes_its_line_after_the_block_is_cleaned_up(capsys):
    done = []

    def work():
        try:
            kill_self(signal.SIGTERM)
        finally:
            done.append("cleaned up")

    exit_code_of(work, lambda: ", ".join(done))
    assert capsys.readouterr().err == "\ncleaned up\n"


def test_stoppable_ignores_signals_while_the_process_ends():
    exit_code_of(lambda: kill_self(signal.SIGINT))
    kill_self(*STOPS)
    assert [signal.getsignal(number) for number in STOPS] == [signal.SIG_IGN] * len(STOPS)


def test_stoppable_stops_if_a_signal_interrupts_the_cleanup(capsys):
    def work():
        try:
            kill_self(signal.SIGINT)
        finally:
            kill_self(signal.SIGTERM)

    assert exit_code_of(work) == 143
    assert capsys.readouterr().err == "\nhow to go on\n"


def test_stoppable_restores_the_handlers_of_its_caller():
    before = [signal.getsignal(number) for number in STOPS]
    with stoppable(str):
        assert [signal.getsignal(number) for number in STOPS] != before
    with pytest.raises(ValueError, match="an error"), stoppable(str):
        raise ValueError("an error")
    assert [signal.getsignal(number) for number in STOPS] == before


def test_stoppable_leaves_ignored_signals_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stoppable(str):
        kill_self(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_stoppable_survives_a_closed_terminal():
    program = (
        "import os, signal\n"
        "from reid_gen.cli.signals import stoppable\n"
        "with stoppable(lambda: 'how to go on'):\n"
        "    os.close(2)\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 129
