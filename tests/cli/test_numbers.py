"""Ranges of all number options; a value out of range is wrong usage."""

import click
import pytest

from reid_gen.cli.main import main
from reid_gen.cli.options import Angles, Number, Shard
from tests.cli.every import COMMANDS, make_outputs, minimal_arguments, options

NUMBER_TYPES = click.types.IntParamType | click.types.FloatParamType | Angles | Shard
NUMBERS = {
    f"{name} {option.opts[0]}": (name, option)
    for name, command in COMMANDS.items()
    for option in options(command)
    if isinstance(option.type, NUMBER_TYPES)
}
INVALID_VALUES = (
    *("0", "-1", "1000000000000", str(2**64), "9" * 5_000, "nan", "-nan", "inf", "-inf"),
    *("1e400", "1e-400", "1.5", "", " ", "x", "0x10", "1/0", "2/1", "0/0", ",", "90,", "90,nan"),
)


@pytest.mark.parametrize("name", NUMBERS)
def test_number_option_has_minimum_and_maximum(name):
    param_type = NUMBERS[name][1].type
    if not isinstance(param_type, Angles | Shard):
        assert isinstance(param_type, click.IntRange | Number), f"{param_type} has no range"
        assert param_type.min is not None
        assert param_type.max is not None
        assert not param_type.clamp


def test_text_option_has_no_number_as_default():
    texts = [
        f"{name} {option.opts[0]}"
        for name, command in COMMANDS.items()
        for option in options(command)
        if option.type is click.STRING and str(option.default)[:1].isdigit()
    ]
    assert texts == ["serve --host"]


@pytest.mark.parametrize("name", NUMBERS)
def test_number_option_refuses_invalid_values_in_one_line(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_outputs(tmp_path)
    command, option = NUMBERS[name]
    arguments = [*command.split(), *minimal_arguments(COMMANDS[command])]
    for value in INVALID_VALUES:
        with pytest.raises(SystemExit) as error:
            main([*arguments, f"{option.opts[0]}={value}"])
        message = capsys.readouterr().err.strip().splitlines()[-1]
        assert message.startswith({1: "error: ", 2: "Error: "}[error.value.code])
    assert (tmp_path / "folder" / "other").read_text() == "existing file"


@pytest.mark.parametrize(
    "words",
    [
        "extract crops --out f.npz --workers 0",
        "extract crops --out f.npz --batch -5",
        "data render pedestrians --preset tiny --out p --height 0",
        "data render pedestrians --preset tiny --out p --width 100000000",
        "data render pedestrians --preset tiny --out p --seed -1",
        f"data groups --share pose --out g --seed {2**63}",
        "meshes pedestrians --root . --out b --workers 0",
        "meshes pedestrians --root . --out b --shard 3/2",
        "views run a.jpg --out t.gif --degrees nan",
        "views run a.jpg --out t.gif --degrees 90,1e400",
        "evaluate-views run --queries 0",
        "evaluate-views run --degrees inf",
        "cluster f.npz --out l.npz --eps nan",
        "cluster f.npz --out l.npz --eps 1",
        "cluster f.npz --out l.npz --k1 1",
        "generate run --out g --share nan",
        "generate run --out g --members 1",
        "tune p.yaml a.jpg --out l --prompt man --rate nan",
        "serve run --gallery a.jpg --port 0",
    ],
)
def test_value_out_of_range_is_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as error:
        main(words.split())
    assert error.value.code == 2
    assert "Error: Invalid value for '--" in capsys.readouterr().err
