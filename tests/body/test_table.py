import numpy as np
import pytest

from reid_gen.body.table import BodyTable, load_table, save_table
from reid_gen.errors import UserError


def table(count=3, **changes):
    rng = np.random.default_rng(0)
    columns = {
        "keys": tuple(f"train/{n}.jpg" for n in range(count)),
        "pose": rng.normal(size=(count, 24, 3)).astype(np.float32),
        "shape": rng.normal(size=(count, 10)).astype(np.float32),
        "camera": rng.normal(size=(count, 3)).astype(np.float32),
        "score": rng.random(count).astype(np.float32),
        "size": np.tile([128, 64], (count, 1)),
        "source": "test",
    }
    return BodyTable(**columns | changes)


def test_what_is_saved_is_read_again(tmp_path):
    save_table(table(), tmp_path / "bodies.npz")
    found, wanted = load_table(tmp_path / "bodies.npz"), table()
    assert (found.keys, found.source) == (wanted.keys, wanted.source)
    for name in ("pose", "shape", "camera", "score", "size"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def test_rows_come_in_the_order_asked_for():
    found = table().of(["train/2.jpg", "train/0.jpg"])
    np.testing.assert_array_equal(found.pose, table().pose[[2, 0]])


def test_a_file_for_other_images_names_some_of_them():
    with pytest.raises(UserError, match=r"no body parameters for 1 of 2 images: other/1\.jpg"):
        table().of(["train/0.jpg", "other/1.jpg"])


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"pose: expected \(3, 24, 3\), got \(2, 24, 3\)"):
        table(pose=np.zeros((2, 24, 3), np.float32))


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(UserError, match=r"no body parameters at .*; make them with `reid-gen mesh"):
        load_table(tmp_path / "none.npz")


def test_another_file_is_no_table(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UserError, match="is no table of body parameters"):
        load_table(tmp_path / "text.npz")


def test_a_table_of_another_format_is_refused(tmp_path):
    save_table(table(), tmp_path / "old.npz")
    with np.load(tmp_path / "old.npz") as file:
        columns = dict(file)
    np.savez(tmp_path / "old.npz", **columns | {"about": np.array('{"format": 0, "source": ""}')})
    with pytest.raises(UserError, match="has format 0, this version reads 1; make it again"):
        load_table(tmp_path / "old.npz")
