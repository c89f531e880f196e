"""Invalid headers of positive groups."""

import json
import os

import pytest

from reid_gen.data.positive_groups import load_groups, read_header, start_groups
from reid_gen.errors import UserError

VALID = {"format": 3, "kind": "same_identity", "parts": 0, "sources": 0, "members": 2}


def error_message(folder, text):
    (folder / "groups.json").write_text(text)
    with pytest.raises(UserError) as error:
        load_groups(folder)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{folder / 'groups.json'} is damaged (")
    return line


@pytest.mark.parametrize(
    "fields",
    [{"parts": 10**12}, {"parts": -1}, {"parts": True}, {"parts": 1.5}, {"parts": "1"},
     {"sources": -1}, {"members": "x"}, {"members": -2}, {"kind": 3}],
    ids=str,
)  # fmt: skip
def test_load_groups_rejects_invalid_header_values(fields, tmp_path):
    (name,) = fields
    assert f"{name}: " in error_message(tmp_path, json.dumps(VALID | fields))


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "{", "[" * 100_000, '{"format": 3}'])
def test_load_groups_rejects_a_damaged_header(text, tmp_path):
    error_message(tmp_path, text)


def test_load_groups_does_not_block_on_a_fifo(tmp_path):
    start_groups(tmp_path / "groups", {"kind": "same_identity", "parts": 1, "sources": 1})
    (tmp_path / "groups" / "part-00000").mkdir()
    os.mkfifo(tmp_path / "groups" / "part-00000" / "manifest.jsonl")
    with pytest.raises(UserError, match="it is a folder or a device, not a regular file"):
        load_groups(tmp_path / "groups")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "groups.json")
    with pytest.raises(UserError, match="no groups at"):
        read_header(tmp_path / "pipe")
