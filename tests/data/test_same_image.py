"""Pairs of query and gallery images that are the same image, by path, key or content."""

import numpy as np
import pytest

from reid_gen.data.feature_files import read_features
from reid_gen.data.same_image import same_files, same_in_splits, same_names, same_rows
from reid_gen.types import Image, LabelledSplit

ROWS = np.eye(3, dtype=np.float32)


def test_same_names_marks_equal_names():
    mask = same_names(["b", "x", "a"], ["a", "b", "b", "c"]).toarray()
    assert mask.tolist() == [
        [False, True, True, False],
        [False] * 4,
        [True, False, False, False],
    ]


def test_same_files_finds_links_and_copies(tmp_path):
    first, second, copy, link = (tmp_path / name for name in ("1", "2", "3", "4"))
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    copy.write_bytes(b"one")
    link.symlink_to(first)
    mask = same_files([first, second], [first, copy, link, second]).toarray()
    assert mask.tolist() == [[True, True, True, False], [False, False, False, True]]


def write_features(file, **columns):
    np.savez(file, feature=ROWS, **{name: np.array(values) for name, values in columns.items()})
    return read_features(file)


def test_same_rows_prefers_paths_to_keys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    query = write_features(tmp_path / "q.npz", key=list("abc"), path=["q/a", "b", "c"])
    gallery = write_features(
        tmp_path / "g.npz", key=list("abd"), path=["g/a", str(tmp_path / "b"), "d"]
    )
    assert same_rows(query, gallery).nonzero()[0].tolist() == [1]
    keys = write_features(tmp_path / "k.npz", key=list("xac"))
    assert [index.tolist() for index in same_rows(query, keys).nonzero()] == [[0, 2], [1, 2]]


def test_same_rows_without_keys_match_within_one_file(tmp_path):
    first, second = (write_features(tmp_path / name) for name in ("one.npz", "other.npz"))
    assert same_rows(first, first).toarray().tolist() == np.eye(3, dtype=bool).tolist()
    assert not same_rows(first, second).nnz


@pytest.mark.parametrize("camera", [0, None])
def test_same_in_splits_is_none_if_cameras_are_known(camera, tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    split = LabelledSplit((Image("a", tmp_path / "a", camera),), np.array([5]))
    mask = same_in_splits(split, split)
    assert (mask is None) == (camera == 0)
    assert mask is None or mask.nnz == 1
