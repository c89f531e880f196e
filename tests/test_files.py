"""Tests of atomic writing, and of the check before outputs are overwritten."""

import os

import pytest
from safetensors import SafetensorError

from reid_gen.errors import UserError
from reid_gen.files import (
    check_overwrite,
    content_digest,
    previous_path,
    write_bytes,
    written_aside,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_written_aside_removes_leftovers_of_killed_processes(tmp_path):
    killed = written_aside(tmp_path / "people")
    (killed.__enter__() / "incomplete").touch()
    unrelated = written_aside(tmp_path / "people.partial")
    unrelated_folder = unrelated.__enter__()
    assert len(names(tmp_path)) == 2
    with written_aside(tmp_path / "people") as aside:
        (aside / "complete").touch()
    assert names(tmp_path) == sorted([unrelated_folder.name, "people"])
    assert names(tmp_path / "people") == ["complete"]


def test_written_aside_keeps_the_old_folder_on_failure_only(tmp_path):
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


def test_content_digest_depends_on_contents_and_names(tmp_path):
    for folder, name in (("one", "a"), ("two", "a"), ("renamed", "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("x")
    first, copy, renamed = (content_digest(tmp_path / name) for name in ("one", "two", "renamed"))
    assert first == copy != renamed
    (tmp_path / "two" / "a").write_text("y")
    assert content_digest(tmp_path / "two") != first
    with pytest.raises(UserError, match=r"cannot read .*nowhere: No such file .*; check the path"):
        content_digest(tmp_path / "nowhere")


def test_written_aside_restores_an_interrupted_replacement(tmp_path):
    target = tmp_path / "last"
    previous_path(target).mkdir()
    (previous_path(target) / "one").touch()
    with pytest.raises(KeyboardInterrupt), written_aside(target):
        raise KeyboardInterrupt
    assert names(tmp_path) == ["last"]
    assert names(target) == ["one"]


def test_written_aside_can_keep_the_previous_folder(tmp_path):
    target = tmp_path / "last"
    for name in ("one", "two", "three"):
        with written_aside(target, keep_old=True) as aside:
            (aside / name).touch()
    assert names(tmp_path) == [".last.old", "last"]
    assert (names(previous_path(target)), names(target)) == (["two"], ["three"])


def test_written_aside_reports_a_full_disk_of_safetensors(tmp_path):
    with (
        pytest.raises(UserError, match=r"cannot write .*last: I/O error: No space left"),
        written_aside(tmp_path / "last"),
    ):
        raise SafetensorError("I/O error: No space left on device")
    assert names(tmp_path) == []


def test_write_bytes_reports_a_parent_that_is_a_file(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match=r"cannot write .*runs/a: "):
        write_bytes(tmp_path / "runs" / "a", b"")


def write_output(folder):
    with written_aside(folder, command="reid-gen make") as aside:
        (aside / "below").mkdir()
        (aside / "below" / "weights").write_text("1")


def refusal(target, force=True, command="reid-gen make"):
    with pytest.raises(UserError) as error:
        check_overwrite(target, force, command)
    return str(error.value)


def test_check_overwrite_lets_a_command_replace_its_own_folder(tmp_path):
    out = tmp_path / "out"
    check_overwrite(out, False, "reid-gen make")
    write_output(out)
    assert refusal(out, force=False).endswith("give --force to overwrite it, or another name")
    check_overwrite(out, True, "reid-gen make")
    write_output(out)
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["mine.txt", "below/mine.txt", "below/weights.bak", ".mine"])
def test_check_overwrite_refuses_a_folder_with_other_files(name, tmp_path):
    out = tmp_path / "out"
    write_output(out)
    (out / name).write_text("mine")
    assert f"out contains files that `reid-gen make` did not write: {name}; --force" in refusal(out)
    with pytest.raises(UserError, match="contains files that `reid-gen make` did not write"):
        write_output(out)
    assert (out / name).read_text() == "mine"


def test_check_overwrite_refuses_folders_of_other_programs(tmp_path, monkeypatch):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    write_output(tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    (tmp_path / "marked").mkdir()
    for mark in ("", "[", "{}", "[]", '{"maker": "reid-gen make"}'):
        (tmp_path / "marked" / ".reid-gen.json").write_text(mark)
        assert "is not a folder that `reid-gen make` wrote" in refusal(tmp_path / "marked")
    for name in ("foreign", "empty", "file", "link"):
        assert "is not a folder that `reid-gen make` wrote" in refusal(tmp_path / name)
    assert "is not a folder that `reid-gen tune` wrote" in refusal(
        tmp_path / "out", True, "reid-gen tune"
    )
    monkeypatch.chdir(tmp_path / "out" / "below")
    for name in ("..", tmp_path / "out"):
        assert "is the current folder or contains it" in refusal(type(tmp_path)(name))


@pytest.mark.parametrize("force", [True, False])
def test_check_overwrite_refuses_folders_and_devices_for_files(force, tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    for target in (tmp_path, tmp_path / "pipe", type(tmp_path)("."), type(tmp_path)("/dev/null")):
        assert "is a folder or a device, not a regular file" in refusal(target, force, None)
        with pytest.raises(UserError, match="is a folder or a device, not a regular file"):
            write_bytes(target, b"x")


def test_check_overwrite_suggests_force_only_if_available(tmp_path):
    assert refusal(tmp_path, None, None) == f"{tmp_path} exists; remove it, or choose another name"
