"""Tests of the JSON writer: it is the only one, and writes null for NaN and infinity."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid_gen.files import as_json, write_json

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PLAIN = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda nested: st.lists(nested) | st.dictionaries(st.text(), nested),
)
MESSAGES = "reid_gen/config/"
"""Uses json.dumps for values in messages, including dates and NaN, but writes no file."""


def parse_strictly(text):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@given(PLAIN)
def test_as_json_writes_valid_json_for_any_plain_value(content):
    parse_strictly(as_json(content))
    parse_strictly(as_json({"nested": [content]}, indent=None))


def test_write_json_writes_null_for_infinity_and_nan(tmp_path):
    write_json(tmp_path / "a.json", {"psnr": float("inf"), "rows": (1.5, float("nan"))})
    assert parse_strictly((tmp_path / "a.json").read_text()) == {"psnr": None, "rows": [1.5, None]}


def test_as_json_is_the_only_writer_of_json():
    sources = [p for f in ("reid_gen", "tools", "benchmarks") for p in (ROOT / f).rglob("*.py")]
    names = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sources}
    writers = {name for name, text in names.items() if "json.dump" in text}
    assert {name for name in writers if not name.startswith(MESSAGES)} == {"reid_gen/files.py"}
