"""Search for images by folder, file, glob and list."""

import logging
import os
from pathlib import Path

import pytest

from reid_gen.data.check import check_dataset
from reid_gen.data.datasets import load_dataset
from reid_gen.data.find_images import find_images, image_files
from reid_gen.data.images import IMAGE_SUFFIXES
from reid_gen.errors import UserError
from tests.data.real_format import draw_person

NOT_UTF_8 = os.fsdecode("人.jpg".encode("gbk"))


def write_crops(root, *names):
    for name in names:
        draw_person(root / name, 1, 0, 0)
    return root


def keys(*sources):
    return [image.key for image in find_images([str(source) for source in sources])]


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.fixture
def untidy_folder(tmp_path):
    """A folder with three images among links, hidden files and other files."""
    linked = write_crops(tmp_path / "elsewhere", "c.png")
    root = write_crops(tmp_path / "root", "a.jpg", "sub/b.JPG")
    (root / "linked").symlink_to(linked)
    (root / "sub" / "loop").symlink_to(root)
    (root / "self.jpg").symlink_to(root / "self.jpg")
    (root / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "._a.jpg").write_bytes(b"attributes")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "a.jpg").write_bytes(b"attributes")
    (root / ".cache").mkdir()
    (root / ".cache" / "z.jpg").write_bytes(b"no image")
    (root / "notes.txt").write_text("no image")
    (root / "sub" / "README").write_text("no image")
    os.mkfifo(root / "pipe.jpg")
    return root


SKIPPED = (
    "2 broken links, 3 hidden, 1 links to a folder that was read already, "
    "1 not regular files, 1 with suffix .txt, 1 without a suffix"
)


def test_find_images_follows_links_and_counts_skipped_files(untidy_folder, caplog):
    assert keys(untidy_folder) == ["a.jpg", "linked/c.png", "sub/b.JPG"]
    assert warnings(caplog) == [f"note: skipped in {untidy_folder}: {SKIPPED}"]


def test_find_images_agrees_with_the_folder_data_set(untidy_folder, caplog):
    assert [image.key for image in load_dataset("folder", untidy_folder).train] == keys(
        untidy_folder
    )
    assert check_dataset("folder", untidy_folder).agrees
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("pattern", ["**/*.*", "**/*", "**"])
def test_find_images_expands_globs_through_link_loops_once(untidy_folder, pattern):
    names = [
        Path(key).relative_to(untidy_folder).as_posix()
        for key in keys(f"{untidy_folder}/{pattern}")
    ]
    assert names == ["a.jpg", "linked/c.png", "sub/b.JPG"]


def test_find_images_expands_plain_globs(untidy_folder, caplog, monkeypatch):
    monkeypatch.chdir(untidy_folder)
    assert keys("*") == ["a.jpg"]
    assert keys("*/b.*", "l*/**/*.png") == ["sub/b.JPG", "linked/c.png"]
    assert keys("**/*.jpg") == ["a.jpg"]
    assert (
        "skipped in *: 2 broken links, 2 folders, 1 hidden, 1 not regular files"
        in warnings(caplog)[0]
    )


def test_find_images_reads_multiplying_links_once(tmp_path):
    root = write_crops(tmp_path, "29/a.jpg")
    for level in range(29):
        (root / f"{level}").mkdir()
        for name in "xy":
            (root / f"{level}" / name).symlink_to(root / f"{level + 1}")
    assert keys(root / "0") == ["x/" * 29 + "a.jpg"]
    assert len(keys(f"{root}/0/**/*.jpg")) == 1


def test_find_images_prefers_a_folder_to_a_link_to_it(tmp_path):
    write_crops(tmp_path, "z/a.jpg")
    (tmp_path / "b").symlink_to(tmp_path / "z")
    assert keys(tmp_path) == ["z/a.jpg"]


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_find_images_accepts_every_image_suffix(tmp_path, suffix):
    for ending in (suffix, suffix.upper()):
        (tmp_path / f"x{ending}").write_bytes(b"")
    assert len(keys(tmp_path)) == len(image_files(tmp_path)) == 2


def test_find_images_accepts_any_explicitly_named_file(tmp_path):
    write_crops(tmp_path, ".hidden.jpg", "[1].jpg")
    assert keys(tmp_path / ".hidden.jpg") == [f"{tmp_path}/.hidden.jpg"]
    assert keys(tmp_path / "[1].jpg") == [f"{tmp_path}/[1].jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_find_images_reads_lists_in_any_unicode_encoding(tmp_path, encoding):
    write_crops(tmp_path, "straße.jpg", "图.jpg")
    (tmp_path / "list.txt").write_text("straße.jpg\r\n\n图.jpg", encoding, newline="")
    assert keys(f"@{tmp_path}/list.txt") == ["straße.jpg", "图.jpg"]


def test_find_images_rejects_sources_without_images(tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    for source in (tmp_path, f"{tmp_path}/*.jpg", f"@{tmp_path}/empty.txt", f"@{tmp_path}/no.txt"):
        with pytest.raises(UserError, match=r"no image|no file"):
            keys(source)


def test_find_images_rejects_duplicate_keys(tmp_path):
    write_crops(tmp_path, "one/a.jpg", "two/a.jpg")
    with pytest.raises(UserError, match=r"2 images have the key 'a\.jpg'"):
        keys(tmp_path / "one", tmp_path / "two")


def test_find_images_escapes_names_that_are_not_utf_8(tmp_path):
    write_crops(tmp_path, NOT_UTF_8)
    (image,) = find_images([str(tmp_path)])
    assert image.key == r"\xc8\xcb.jpg"
    assert image.path.is_file()
    assert load_dataset("folder", tmp_path).train == (image,)


def test_image_files_names_a_folder_it_cannot_read(tmp_path):
    with pytest.raises(UserError, match=f"cannot read the folder {tmp_path}/no: No such file"):
        image_files(tmp_path / "no")
