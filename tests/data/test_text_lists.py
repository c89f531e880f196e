"""Text files in every encoding, read by every reader of text files."""

import os

import pytest

from reid_gen.data.datasets import load_dataset
from reid_gen.data.find_images import find_images
from reid_gen.data.text_lists import read_lines, read_text
from reid_gen.errors import UserError
from reid_gen.generators.stable_diffusion.prompts import read_prompts
from tests.data.real_format import draw_person, make_msmt17

TEXT = "path\nstraße.jpg\n"
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-32")


def as_list(file):
    return find_images([f"@{file}"])


def as_manifest(file):
    return load_dataset("folder", file)


READERS = {"list": as_list, "manifest": as_manifest, "prompts": read_prompts, "lines": read_lines}


@pytest.mark.parametrize("encoding", [*UNICODE, "utf-16-le+bom", "utf-16-be+bom"])
def test_read_text_reads_every_unicode_encoding(tmp_path, encoding):
    name, has_mark = encoding.split("+")[0], encoding.endswith("+bom")
    (tmp_path / "a.csv").write_bytes((("\ufeff" if has_mark else "") + TEXT).encode(name))
    assert read_text(tmp_path / "a.csv") == TEXT


@pytest.mark.parametrize("encoding", UNICODE)
def test_manifest_reads_every_unicode_encoding(tmp_path, encoding):
    draw_person(tmp_path / "straße.jpg", 1, 0, 0)
    (tmp_path / "a.csv").write_text(TEXT, encoding)
    assert [image.key for image in as_manifest(tmp_path / "a.csv").train] == ["straße.jpg"]


@pytest.mark.parametrize("encoding", UNICODE)
def test_read_prompts_reads_every_unicode_encoding(tmp_path, encoding):
    (tmp_path / "a.txt").write_text("a coat\na straße", encoding)
    assert read_prompts(tmp_path / "a.txt") == ("a coat", "a straße")


@pytest.mark.parametrize("encoding", UNICODE)
def test_msmt17_lists_read_every_unicode_encoding(tmp_path, encoding):
    root = make_msmt17(tmp_path)
    for file in (root / "MSMT17_V1").glob("*.txt"):
        file.write_text(file.read_text(), encoding)
    assert len(load_dataset("msmt17", root).train) == 8


@pytest.mark.parametrize("reader", READERS)
def test_text_readers_name_the_line_that_is_not_utf_8(tmp_path, reader):
    file = tmp_path / "a.csv"
    file.write_bytes(TEXT.encode("latin-1"))
    with pytest.raises(UserError) as error:
        READERS[reader](file)
    assert str(error.value) == f"{file}:2: this is not UTF-8 text; save the file as UTF-8"


@pytest.mark.parametrize("content", [TEXT.encode("utf-16-le"), b"\x89PNG\0", b"\xff\xfea", b"a\0b"])
@pytest.mark.parametrize("reader", READERS)
def test_text_readers_reject_binary_files(tmp_path, reader, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.csv.* not (UTF-8 )?text.*save the file as UTF-8"):
        READERS[reader](tmp_path / "a.csv")


@pytest.mark.parametrize("reader", READERS)
def test_text_readers_open_only_regular_files(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("pipe.csv", "missing.csv"):
        with pytest.raises(UserError, match=rf"(there is no file|the root) .*{name}"):
            READERS[reader](tmp_path / name)


def test_read_lines_splits_only_at_line_breaks(tmp_path):
    (tmp_path / "a.txt").write_bytes("a\r\nb\rc\u2028d\x85e\n f ".encode())
    assert read_lines(tmp_path / "a.txt") == ["a", "b", "c\u2028d\x85e", "f"]
