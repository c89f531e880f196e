"""Bars for people at a terminal, and nothing but lines, few of them, for files and pipes."""

import io

from rich.console import Console

from reid_gen.runtime.progress import Silent, Terminal


def shown(**how):
    """What a task of ten units and a line leave on a console."""
    output = io.StringIO()
    display = Terminal(Console(file=output, width=80, **how))
    with display.task("extract", 10) as advance:
        for _ in range(2):
            advance(2)
    display.say("done")
    return output.getvalue()


def test_a_pipe_gets_lines_alone():
    assert shown() == "done\n"


def test_a_pipe_gets_a_line_a_minute_whose_time_left_counts_only_what_was_done_here():
    output = io.StringIO()
    times = iter([0, 30, 70, 100, 140, 200])
    display = Terminal(Console(file=output, width=80), clock=lambda: next(times))
    with display.task("generate", 20, done=10) as advance:
        for _ in range(5):
            advance(2)
    assert output.getvalue() == "generate 14/20 0:01:45 left\ngenerate 18/20 0:00:35 left\n"


def test_what_was_done_before_stands_in_the_bar_and_not_in_the_time_left():
    output = io.StringIO()
    console = Console(
        file=output, width=80, force_terminal=True, color_system=None, legacy_windows=False
    )
    with Terminal(console).task("generate", 10, done=4):
        pass
    assert "4/10 -:--:--" in output.getvalue()


def test_a_terminal_shows_a_bar_with_counts_and_the_time_left():
    found = shown(force_terminal=True, color_system=None, legacy_windows=False)
    assert "extract" in found
    assert "4/10" in found
    assert "━" in found
    assert ":" in found.split("4/10")[1].split("\n")[0]
    assert found.endswith("done\n")


def test_the_bar_goes_when_its_task_is_done():
    found = shown(force_terminal=True, color_system=None, legacy_windows=False)
    erased = "\x1b[2K"
    assert erased in found.split("4/10")[-1]


def test_no_display_shows_nothing(capsys):
    with Silent().task("extract", 10) as advance:
        advance(10)
    Silent().say("done")
    assert capsys.readouterr() == ("", "")
