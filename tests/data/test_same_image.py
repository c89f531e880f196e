"""A query and an image of the gallery are one image: by path, key or content."""

import numpy as np
import pytest

from reid_gen.data.feature_files import read_features
from reid_gen.data.same_image import same_files, same_in_splits, same_names, same_rows
from reid_gen.types import Image, LabelledSplit

ROWS = np.eye(3, dtype=np.float32)


def test_same_names_marks_equal_names():
    found = same_names(["b", "x", "a"], ["a", "b", "b", "c"]).toarray()
    assert found.tolist() == [
        [False, True, True, False],
        [False] * 4,
        [True, False, False, False],
    ]


def test_same_files_knows_links_and_copies(tmp_path):
    one, other, copy, link = (tmp_path / name for name in ("1", "2", "3", "4"))
    one.write_bytes(b"one")
    other.write_bytes(b"two")
    copy.write_bytes(b"one")
    link.symlink_to(one)
    found = same_files([one, other], [one, copy, link, other]).toarray()
    assert found.tolist() == [[True, True, True, False], [False, False, False, True]]


def table(file, **columns):
    np.savez(file, feature=ROWS, **{name: np.array(values) for name, values in columns.items()})
    return read_features(file)


def test_same_rows_trusts_paths_before_keys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    query = table(tmp_path / "q.npz", key=list("abc"), path=["q/a", "b", "c"])
    gallery = table(tmp_path / "g.npz", key=list("abd"), path=["g/a", str(tmp_path / "b"), "d"])
    assert same_rows(query, gallery).nonzero()[0].tolist() == [1]
    keys = table(tmp_path / "k.npz", key=list("xac"))
    assert [cells.tolist() for cells in same_rows(query, keys).nonzero()] == [[0, 2], [1, 2]]


def test_same_rows_without_names_are_those_of_one_file(tmp_path):
    one, other = (table(tmp_path / name) for name in ("one.npz", "other.npz"))
    assert same_rows(one, one).toarray().tolist() == np.eye(3, dtype=bool).tolist()
    assert not same_rows(one, other).nnz


@pytest.mark.parametrize("camera", [0, None])
def test_same_in_splits_asks_only_where_cameras_are_unknown(camera, tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    split = LabelledSplit((Image("a", tmp_path / "a", camera),), np.array([5]))
    found = same_in_splits(split, split)
    assert (found is None) == (camera == 0)
    assert found is None or found.nnz == 1
