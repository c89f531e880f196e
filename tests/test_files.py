"""Files and folders that appear whole or not at all."""

import pytest

from reid_gen.errors import UserError
from reid_gen.files import content_digest, written_aside


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
