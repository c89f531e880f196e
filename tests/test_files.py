"""Files and folders that appear whole or not at all."""

import pytest
from safetensors import SafetensorError

from reid_gen.errors import UserError
from reid_gen.files import content_digest, old_of, write_bytes, written_aside


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_program_left_of_a_folder_is_removed_and_nothing_else(tmp_path):
    killed = written_aside(tmp_path / "people")
    (killed.__enter__() / "half").touch()
    other = written_aside(tmp_path / "people.partial")
    beside = other.__enter__()
    assert len(names(tmp_path)) == 2
    with written_aside(tmp_path / "people") as aside:
        (aside / "whole").touch()
    assert names(tmp_path) == sorted([beside.name, "people"])
    assert names(tmp_path / "people") == ["whole"]


def test_the_old_folder_stays_if_the_new_one_fails_and_goes_if_it_does_not(tmp_path):
    target = tmp_path / "last"
    for name in ("one", "two"):
        with written_aside(target) as aside:
            (aside / name).touch()
    assert names(target) == ["two"]
    with (
        pytest.raises(UserError, match=r"cannot write .*last: No such file"),
        written_aside(target) as aside,
    ):
        (aside / "nowhere" / "three").touch()
    assert names(tmp_path) == ["last"]
    assert names(target) == ["two"]


def test_a_digest_is_of_content_and_of_names_below_a_folder(tmp_path):
    for folder, name in (("one", "a"), ("two", "a"), ("renamed", "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("x")
    one, two, renamed = (content_digest(tmp_path / name) for name in ("one", "two", "renamed"))
    assert one == two != renamed
    (tmp_path / "two" / "a").write_text("y")
    assert content_digest(tmp_path / "two") != one
    with pytest.raises(UserError, match=r"cannot read .*nowhere: No such file .*; check the path"):
        content_digest(tmp_path / "nowhere")


def test_written_aside_puts_back_what_a_kill_between_two_renames_left(tmp_path):
    target = tmp_path / "last"
    old_of(target).mkdir()
    (old_of(target) / "one").touch()
    with pytest.raises(KeyboardInterrupt), written_aside(target):
        raise KeyboardInterrupt
    assert names(tmp_path) == ["last"]
    assert names(target) == ["one"]


def test_written_aside_keeps_the_folder_before_where_it_is_asked_to(tmp_path):
    target = tmp_path / "last"
    for name in ("one", "two", "three"):
        with written_aside(target, keep_old=True) as aside:
            (aside / name).touch()
    assert names(tmp_path) == [".last.old", "last"]
    assert (names(old_of(target)), names(target)) == (["two"], ["three"])


def test_written_aside_takes_the_words_of_safetensors_for_a_full_disk(tmp_path):
    with (
        pytest.raises(UserError, match=r"cannot write .*last: I/O error: No space left"),
        written_aside(tmp_path / "last"),
    ):
        raise SafetensorError("I/O error: No space left on device")
    assert names(tmp_path) == []


def test_write_bytes_below_a_file_says_that_it_cannot(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match=r"cannot write .*runs/a: "):
        write_bytes(tmp_path / "runs" / "a", b"")
