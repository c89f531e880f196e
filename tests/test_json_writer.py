"""All JSON that is written is JSON: one writer, and null for numbers that are not finite."""

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
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
)
MESSAGES = "reid_gen/config/"
"""Shows values of settings in messages, dates and NaN among them, and writes no file."""


def strict(text):
    def refused(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refused)


@given(PLAIN)
def test_as_json_is_json_of_any_plain_value(content):
    strict(as_json(content))
    strict(as_json({"inside": [content]}, indent=None))


def test_write_json_puts_null_for_infinity_and_nan(tmp_path):
    write_json(tmp_path / "a.json", {"psnr": float("inf"), "rows": (1.5, float("nan"))})
    assert strict((tmp_path / "a.json").read_text()) == {"psnr": None, "rows": [1.5, None]}


def test_as_json_is_the_only_writer_of_json():
    sources = [p for f in ("reid_gen", "tools", "benchmarks") for p in (ROOT / f).rglob("*.py")]
    names = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sources}
    writers = {name for name, text in names.items() if "json.dump" in text}
    assert {name for name in writers if not name.startswith(MESSAGES)} == {"reid_gen/files.py"}
