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


def test_load_table_restores_a_saved_table(tmp_path):
    save_table(table(), tmp_path / "bodies.npz")
    actual, expected = load_table(tmp_path / "bodies.npz"), table()
    assert (actual.keys, actual.source) == (expected.keys, expected.source)
    for name in ("pose", "shape", "camera", "score", "size"):
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name))


def test_select_keeps_the_requested_order():
    rows = table().select(["train/2.jpg", "train/0.jpg"])
    np.testing.assert_array_equal(rows.pose, table().pose[[2, 0]])


def test_select_names_missing_images():
    with pytest.raises(UserError, match=r"no body parameters for 1 of 2 images: other/1\.jpg"):
        table().select(["train/0.jpg", "other/1.jpg"])


def test_body_table_rejects_columns_of_the_wrong_shape():
    with pytest.raises(ValueError, match=r"pose: expected \(3, 24, 3\), got \(2, 24, 3\)"):
        table(pose=np.zeros((2, 24, 3), np.float32))


def test_load_table_says_how_to_create_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"no body parameters at .*; create them with `reid-gen"):
        load_table(tmp_path / "none.npz")


def test_load_table_rejects_a_damaged_file(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UserError, match="is no table of body parameters"):
        load_table(tmp_path / "text.npz")


def test_load_table_rejects_another_format(tmp_path):
    save_table(table(), tmp_path / "old.npz")
    with np.load(tmp_path / "old.npz") as file:
        columns = dict(file)
    np.savez(tmp_path / "old.npz", **columns | {"about": np.array('{"format": 0, "source": ""}')})
    with pytest.raises(
        UserError, match="has format 0, this version reads format 1; create it again"
    ):
        load_table(tmp_path / "old.npz")
