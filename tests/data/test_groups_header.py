"""Headers of groups that somebody else wrote."""

import json
import os

import pytest

from reid_gen.data.positive_groups import load_groups, read_header, start_groups
from reid_gen.errors import UserError

GOOD = {"format": 3, "kind": "same_identity", "parts": 0, "sources": 0, "members": 2}


def fault(folder, text):
    (folder / "groups.json").write_text(text)
    with pytest.raises(UserError) as error:
        load_groups(folder)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{folder / 'groups.json'} is damaged (")
    return line


@pytest.mark.parametrize(
    "said",
    [{"parts": 10**12}, {"parts": -1}, {"parts": True}, {"parts": 1.5}, {"parts": "1"},
     {"sources": -1}, {"members": "x"}, {"members": -2}, {"kind": 3}],
    ids=str,
)  # fmt: skip
def test_read_header_refuses_numbers_that_no_groups_have(said, tmp_path):
    (name,) = said
    assert f"{name}: " in fault(tmp_path, json.dumps(GOOD | said))


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "{", "[" * 100_000, '{"format": 3}'])
def test_read_header_refuses_what_is_no_header(text, tmp_path):
    fault(tmp_path, text)


def test_readers_of_groups_do_not_wait_for_a_fifo(tmp_path):
    start_groups(tmp_path / "groups", {"kind": "same_identity", "parts": 1, "sources": 1})
    (tmp_path / "groups" / "part-00000").mkdir()
    os.mkfifo(tmp_path / "groups" / "part-00000" / "manifest.jsonl")
    with pytest.raises(UserError, match="it is a folder or a device, and no file"):
        load_groups(tmp_path / "groups")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "groups.json")
    with pytest.raises(UserError, match="no groups at"):
        read_header(tmp_path / "pipe")
