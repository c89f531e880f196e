"""Commands under torchrun or accelerate launch, which set WORLD_SIZE and RANK."""

import pytest

from tests.cli.conftest import failure


@pytest.mark.parametrize("command", ["extract", "evaluate", "search"])
def test_command_refuses_several_processes(command, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert failure(capsys, command) == (
        f"error: reid-gen {command} runs in one process, and WORLD_SIZE is 4: start it without "
        "torchrun or accelerate launch, or unset WORLD_SIZE"
    )
