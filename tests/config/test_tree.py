"""Malformed and hostile configuration files: each is refused at once, in one line."""

import os
from pathlib import Path

import pytest

from reid_gen.config import tree
from reid_gen.config.load import load_config
from reid_gen.errors import UserError

SHIPPED = Path(__file__).parents[2] / "configs" / "gcl_pedestrians.yaml"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{previous}'] * 9)}]\n"
    for previous, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def error_of(tmp_path):
    def error_of(text, *overrides):
        file = tmp_path / "bad.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(UserError) as error:
            load_config(file, overrides)
        return str(error.value).replace(str(file), "FILE")

    return error_of


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "FILE:1: the aliases expand to more than 10000 values"),
        ("a: &a [*a]", "FILE:1: values are nested more than 50 levels deep; no setting is"),
        ("a: &a [*a, *a]", "FILE:1: values are nested more than 50 levels deep; no setting is"),
        ("a: " + "[" * 3000 + "]" * 3000, "FILE:1: values are nested more than 50 levels deep"),
        ("[" * 3000, "FILE:1: values are nested more than 50 levels deep"),
        ("x: 1\n<<: 3\n", "FILE:2: merge keys (<<) are not supported; write the settings out"),
        ("x: &x {a: 1}\n<<: *x\n", "FILE:2: merge keys (<<) are not supported"),
        ("<<: !!set {a}\n", "FILE:1: merge keys (<<) are not supported"),
        ("a: 1\n'a': 2\n", "FILE:2: a: this key is given twice; keep one"),
        ("1: a\n'1': b\n", "FILE:2: 1: this key is given twice; keep one"),
        ("[a, b]: 1\n", "FILE:1: a key must be a string"),
        ("? {a: 1}\n: 1\n", "FILE:1: a key must be a string"),
        ("name: 2024-13-45\n", "FILE:1: '2024-13-45' is not a valid timestamp; quote it"),
        ("name: !!int x\n", "FILE:1: 'x' is not a valid int; quote it if it is a string"),
        ("name: 0x_\n", "FILE:1: '0x_' is not a valid int; quote it if it is a string"),
        ("name: !!bool x\n", "FILE:1: 'x' is not a valid bool; quote it if it is a string"),
        ("seed: " + "1" * 5000, "FILE:1: '1111111111"),
        ("seed: .inf", "FILE:1: a number must be finite, got .inf"),
        ("seed: .nan", "FILE:1: a number must be finite, got .nan"),
        ("seed: 1e999", "FILE:1: a number must be finite, got 1e999"),
        (
            "name: !!python/object/apply:os.system [x]",
            "FILE:1: the tag tag:yaml.org,2002:python/object/apply:os.system is not supported",
        ),
        ("!!omap\n- a: 1\n- a: 2\n", "FILE:1: the tag tag:yaml.org,2002:omap is not supported"),
        ("a: 1\n---\nb: 2\n", "FILE:2: invalid YAML: but found another document"),
        ("a: *b\n", "FILE:1: invalid YAML: found undefined alias 'b'"),
        ("a: \0", "FILE:1: invalid YAML: unacceptable character #x0000"),
        (b"a: \xff", "FILE: cannot be read as a configuration file: 'utf-8' codec"),
        ("# " + "x" * 100_000, "FILE: cannot be read as a configuration file: it has 100002 bytes"),
        ("", "FILE:1: must be a mapping of settings"),
    ],
)  # fmt: skip
def test_read_tree_refuses_malformed_files(error_of, text, message):
    lines = error_of(text).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(message)


def test_read_tree_expands_every_use_of_an_alias(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("one: &x {a: [1, true]}\ntwo: *x\n")
    values, lines = tree.read_tree(file)
    assert values == {"one": {"a": [1, True]}, "two": {"a": [1, True]}}
    assert lines[("two",)] == 2


def test_read_tree_does_not_block_on_a_fifo(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(UserError, match=r"pipe.yaml: cannot be read .* a folder or a device"):
        load_config(tmp_path / "pipe.yaml")


@pytest.mark.parametrize("value", ["[" * 3000, "2024-13-45", "9" * 5000, "!!int x", "{<<: 1}"])
def test_apply_overrides_refuses_malformed_values_in_one_line(value):
    with pytest.raises(UserError) as error:
        load_config(SHIPPED, [f"name={value}"])
    (line,) = str(error.value).splitlines()
    assert line.startswith("--set name=")
    assert len(line) < 400


@pytest.mark.parametrize("path", [".".join("a" * 3000), "stages.²", "stages.99", "stages.-1"])
def test_apply_overrides_refuses_unknown_paths(path):
    with pytest.raises(UserError, match=r"^--set "):
        load_config(SHIPPED, [f"{path}=1"])


@pytest.mark.parametrize(
    ("override", "suggestion"),
    [
        ("epochs=2", "stages.0.epochs"),
        ("epohcs=2", "stages.0.epochs"),
        ("lr=1", "stages.0.learning_rate"),
        ("LR=1", "stages.0.learning_rate"),
        ("stages.0.lr=1", "learning_rate"),
        ("wd=1", "generator.weight_decay, stages.0.weight_decay"),
        ("batch_size=8", "sampler.batch, generator.batch, pose.batch, stages.0.sampler.batch, "
         "evaluation.batch"),
        ("sampler.batch_size=8", "batch"),
        ("backbone=resnet50", "encoder.backbone"),
        ("loss.temprature=1", "temperature"),
    ],
)  # fmt: skip
def test_unknown_key_error_suggests_settings(override, suggestion):
    with pytest.raises(UserError) as error:
        load_config(SHIPPED, [override])
    assert str(error.value).endswith(f"; did you mean {suggestion}?")


@pytest.mark.parametrize("value", ["2024", "true", "2024-01-02", "1e3"])
def test_string_that_parses_as_number_error_asks_for_quotes(value):
    with pytest.raises(UserError) as error:
        load_config(SHIPPED, [f"name={value}"])
    assert str(error.value).endswith(
        'put it in quotes, which a shell must pass on: name: "..." in a file, --set '
        "'name=\"...\"' on the command line"
    )
    assert load_config(SHIPPED, [f'name="{value}"']).name == value


def test_load_config_expands_home_in_files_and_overrides(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/people/somebody")
    file = tmp_path / "a.yaml"
    file.write_text(SHIPPED.read_text().replace("demo/pedestrians", "~/people"))
    config = load_config(file, ["encoder.weights=~/w.pth"])
    assert config.data.root == Path("/people/somebody/people")
    assert config.encoder.weights == "/people/somebody/w.pth"
