"""Files and folders that appear whole or not at all."""

import os

import pytest
from safetensors import SafetensorError

from reid_gen.errors import UserError
from reid_gen.files import content_digest, old_of, refuse_existing, write_bytes, written_aside


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


def by_us(folder):
    with written_aside(folder, maker="reid-gen make") as aside:
        (aside / "below").mkdir()
        (aside / "below" / "weights").write_text("1")


def refusal(target, force=True, maker="reid-gen make"):
    with pytest.raises(UserError) as error:
        refuse_existing(target, force, maker)
    return str(error.value)


def test_refuse_existing_lets_a_command_replace_its_own_folder(tmp_path):
    out = tmp_path / "out"
    refuse_existing(out, False, "reid-gen make")
    by_us(out)
    assert refusal(out, force=False).endswith("give --force to overwrite it, or another name")
    refuse_existing(out, True, "reid-gen make")
    by_us(out)
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("place", ["mine.txt", "below/mine.txt", "below/weights.bak", ".mine"])
def test_refuse_existing_keeps_a_folder_with_other_files(place, tmp_path):
    out = tmp_path / "out"
    by_us(out)
    (out / place).write_text("mine")
    assert f"out holds more than `reid-gen make` made: {place}; --force" in refusal(out)
    with pytest.raises(UserError, match="holds more than `reid-gen make` made"):
        by_us(out)
    assert (out / place).read_text() == "mine"


def test_refuse_existing_keeps_folders_of_others(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    by_us(tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    (tmp_path / "marked").mkdir()
    for mark in ("", "[", "{}", "[]", '{"maker": "reid-gen make"}'):
        (tmp_path / "marked" / ".reid-gen.json").write_text(mark)
        assert "is no folder that `reid-gen make` made" in refusal(tmp_path / "marked")
    for name in ("theirs", "empty", "file", "link"):
        assert "is no folder that `reid-gen make` made" in refusal(tmp_path / name)
    assert "is no folder that `reid-gen tune` made" in refusal(
        tmp_path / "out", True, "reid-gen tune"
    )
    monkeypatch.chdir(tmp_path / "out" / "below")
    for name in ("..", tmp_path / "out"):
        assert "is where this command runs" in refusal(type(tmp_path)(name))


@pytest.mark.parametrize("force", [True, False])
def test_refuse_existing_replaces_no_folder_or_device_by_a_file(force, tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    for target in (tmp_path, tmp_path / "pipe", type(tmp_path)("."), type(tmp_path)("/dev/null")):
        assert "is a folder or a device, and no file" in refusal(target, force, None)
        with pytest.raises(UserError, match="is a folder or a device, and no file"):
            write_bytes(target, b"x")


def test_refuse_existing_advises_force_only_where_there_is_one(tmp_path):
    assert refusal(tmp_path, None, None) == f"{tmp_path} exists; remove it, or choose another name"
