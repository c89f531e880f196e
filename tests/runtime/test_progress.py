"""Progress bars on a terminal; a few plain lines in files and pipes."""

import io

from rich.console import Console

from reid_gen.runtime.progress import Silent, Terminal


def console_output(**options):
    """Output of a task of ten units and of one line, on a console with these options."""
    output = io.StringIO()
    display = Terminal(Console(file=output, width=80, **options))
    with display.task("extract", 10) as advance:
        for _ in range(2):
            advance(2)
    display.log("done")
    return output.getvalue()


def test_terminal_prints_only_lines_to_a_pipe():
    assert console_output() == "done\n"


def test_terminal_prints_one_line_a_minute_to_a_pipe():
    output = io.StringIO()
    # The 10 units of an earlier session do not count in the ETA.
    times = iter([0, 30, 70, 100, 140, 200])
    display = Terminal(Console(file=output, width=80), clock=lambda: next(times))
    with display.task("generate", 20, done=10) as advance:
        for _ in range(5):
            advance(2)
    assert output.getvalue() == "generate 14/20 0:01:45 left\ngenerate 18/20 0:00:35 left\n"


def test_terminal_excludes_earlier_units_from_the_eta():
    output = io.StringIO()
    console = Console(
        file=output, width=80, force_terminal=True, color_system=None, legacy_windows=False
    )
    with Terminal(console).task("generate", 10, done=4):
        pass
    assert "4/10 -:--:--" in output.getvalue()


def test_terminal_shows_bar_counts_and_eta():
    output = console_output(force_terminal=True, color_system=None, legacy_windows=False)
    assert "extract" in output
    assert "4/10" in output
    assert "━" in output
    assert ":" in output.split("4/10")[1].split("\n")[0]
    assert output.endswith("done\n")


def test_terminal_erases_the_bar_of_a_finished_task():
    output = console_output(force_terminal=True, color_system=None, legacy_windows=False)
    erase_line = "\x1b[2K"
    assert erase_line in output.split("4/10")[-1]


def test_silent_prints_nothing(capsys):
    with Silent().task("extract", 10) as advance:
        advance(10)
    Silent().log("done")
    assert capsys.readouterr() == ("", "")
