"""Reading arrays from third-party files, benign and malicious."""

import contextlib
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from scipy import sparse

from reid_gen.body import smpl_file
from reid_gen.body.estimate.foreign_files import read_body_files
from reid_gen.body.model import BodyModel
from reid_gen.body.safe_pickle import unpickle_arrays
from reid_gen.body.table import load_table, save_table
from reid_gen.data.tables import read_npz
from reid_gen.errors import UserError
from tests.body.shapes import random_body
from tests.body.test_smpl_file import smpl_content
from tests.body.test_table import table

CONTENT = {
    "f8": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "big": np.arange(3, dtype=">u4"),
    "bool": np.array([True, False]),
    "scalar": np.float32(0.5),
    "many": [np.ones(2), np.zeros(2)],
    "columns": sparse.csc_matrix(np.eye(3)),
    "rows": sparse.csr_matrix(np.arange(6.0).reshape(2, 3)),
    "text": "male",
    "objects": np.array([None, 1], dtype=object),
}


@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
def test_unpickle_arrays_equals_pickle(protocol, tmp_path):
    content = CONTENT if protocol > 1 else {
        name: value for name, value in CONTENT.items() if not sparse.issparse(value)
    }  # fmt: skip
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol))
    read = unpickle_arrays(tmp_path / "x.pkl")
    assert read.keys() == content.keys()
    for name, value in content.items():
        if sparse.issparse(value):
            np.testing.assert_array_equal(read[name].toarray(), value.toarray())
        elif name == "text":
            assert read[name] == value
        elif name != "objects":
            np.testing.assert_array_equal(read[name], value)
            assert np.asarray(read[name]).dtype == np.asarray(value).dtype
    assert not isinstance(read["objects"], np.ndarray)


class ObjectPointer:
    """A pickled object array whose pointers are bytes of the file."""

    def __reduce__(self):
        return (np.ndarray, ((1,), np.dtype("O"), b"AAAAAAAA"))


def test_unpickle_arrays_never_takes_bytes_for_pointers(tmp_path):
    assert np.ndarray((1,), np.dtype("O"), b"AAAAAAAA").shape == (1,), "NumPy itself would"
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"f": ObjectPointer()}, 2))
    assert not isinstance(unpickle_arrays(tmp_path / "x.pkl")["f"], np.ndarray)


def test_unpickle_arrays_rejects_indices_outside_a_matrix(tmp_path):
    matrix = sparse.csc_matrix(np.eye(3))
    matrix.indices[0] = 10**6
    content = smpl_content(100) | {"J_regressor": matrix}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(UserError, match="is no SMPL model"):
        smpl_file.read_smpl(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    "change",
    [
        {"v_template": np.full((100, 3), np.nan)},
        {"v_template": np.array(["a"])},
        {"v_template": np.array([None], dtype=object)},
        {"v_template": np.zeros((100, 3), complex)},
        {"J_regressor": np.float64(3)},
        {"kintree_table": np.float64(3)},
        {"J_regressor": sparse.csc_matrix((10**6, 10**6))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_read_smpl_rejects_invalid_arrays_in_one_line(change, tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(smpl_content(100) | change, 2))
    with pytest.raises(UserError, match="is no SMPL model") as error:
        smpl_file.read_smpl(tmp_path / "x.pkl")
    assert "\n" not in str(error.value)


def write_zip_bomb(path):
    array = io.BytesIO()
    np.lib.format.write_array(array, np.zeros(20_000_000))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pose.npy", array.getvalue())


def test_npz_readers_reject_a_zip_bomb(tmp_path):
    path = tmp_path / "x.npz"
    write_zip_bomb(path)
    with pytest.raises(ValueError, match=r"it needs 160,000,\d+ bytes"):
        read_npz(path)
    body = BodyModel(random_body())
    size = np.array([[128, 64]])
    for read in (
        load_table,
        smpl_file.read_smpl,
        lambda path: read_body_files(path.parent, ["x.jpg"], size, body),
    ):
        with pytest.raises(UserError, match=r"it needs 160,000,\d+ bytes"):
            read(path)


def test_load_table_raises_only_user_errors_on_corrupt_bytes(tmp_path):
    path = tmp_path / "x.npz"
    save_table(table(), path)
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        content = bytearray(raw)
        for position in rng.integers(0, len(raw), 3):
            content[position] = rng.integers(256)
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            load_table(path)


@pytest.mark.parametrize(
    "change",
    [
        {"pose": np.full((3, 24, 3), np.nan, np.float32)},
        {"pose": np.full((3, 24, 3), "a")},
        {"pose": np.zeros((2, 24, 3))},
        {"camera": np.full((3, 3), np.inf)},
        {"about": np.array("[]")},
        {"about": np.array("3")},
        {"about": np.array("[" * 100_000)},
        {"about": np.array("{}")},
    ],
    ids=str,
)
def test_load_table_rejects_invalid_columns(change, tmp_path):
    path = tmp_path / "x.npz"
    save_table(table(), path)
    np.savez(path, **(read_npz(path) | change))
    with pytest.raises(UserError, match=r"x.npz is no table of body parameters"):
        load_table(path)


def test_read_body_files_rejects_invalid_values(tmp_path):
    body, size = BodyModel(random_body()), np.array([[128, 64]])
    valid = {"pose": np.zeros(72), "betas": np.zeros(10), "pred_cam": np.ones(3)}
    np.savez(tmp_path / "x.npz", **valid)
    read_body_files(tmp_path, ["x.jpg"], size, body)
    for change in (
        {"pose": np.full(72, np.nan)},
        {"betas": np.full(10, np.inf)},
        {"pose": np.full(72, "a")},
        {"score": np.zeros(0)},
    ):
        np.savez(tmp_path / "x.npz", **(valid | change))
        with pytest.raises(UserError, match="holds no body"):
            read_body_files(tmp_path, ["x.jpg"], size, body)


def test_load_table_does_not_block_on_a_fifo(tmp_path):
    os.mkfifo(tmp_path / "x.npz")
    with pytest.raises(UserError, match="no body parameters at"):
        load_table(tmp_path / "x.npz")
