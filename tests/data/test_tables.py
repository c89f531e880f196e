"""Reading and writing of tables: types of columns, invalid values, damage and bombs."""

import contextlib
import csv
import decimal
import io
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from reid_gen.data.feature_files import read_features
from reid_gen.data.tables import write_table
from reid_gen.errors import UserError

FEATURES = np.eye(3, 4, dtype=np.float32)
KEYS = np.array(["a", "b", "c"])


def save(folder, **columns):
    """Save the same columns as .npz and .parquet files."""
    arrays = {"feature": FEATURES, "key": KEYS, **columns}
    np.savez(folder / "t.npz", **{n: v for n, v in arrays.items() if isinstance(v, np.ndarray)})
    lists = {
        name: list(v) if isinstance(v, np.ndarray) and v.ndim == 2 else v
        for name, v in arrays.items()
    }
    parquet.write_table(pa.table(lists), folder / "t.parquet")
    return folder / "t.npz", folder / "t.parquet"


INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
PIDS = {
    **{kind: np.array([7, 0, 7], kind) for kind in [*INTEGERS, "float16", "float32", "float64"]},
    "text": np.array(["0007", " 0 ", "7.0"]),
}


@pytest.mark.parametrize("kind", PIDS)
def test_read_features_parses_ids_of_any_type(kind, tmp_path):
    for file in save(tmp_path, pid=PIDS[kind]):
        assert read_features(file).pids.tolist() == [7, 0, 7]


ARROW = {
    "null": pa.array([7, None, 0], pa.int64()),
    "NaN": pa.array([7.0, float("nan"), 0.0]),
    "null of float": pa.array([7.0, None, 0.0], pa.float16()),
    "decimal": pa.array([decimal.Decimal("7.00"), None, decimal.Decimal(0)]),
    "dictionary": pa.array(["7", None, "0"]).dictionary_encode(),
    "large_string": pa.array(["7", "", "0"], pa.large_string()),
    "text NaN": pa.array(["7.0", "nan", "0"]),
    "junk": pa.array([7, -1, 0], pa.int8()),
    "exact": pa.array([7, None, 0], pa.uint64()),
}


@pytest.mark.parametrize("kind", ARROW)
def test_read_features_maps_empty_ids_to_unknown(kind, tmp_path):
    _, file = save(tmp_path, pid=ARROW[kind], camid=ARROW[kind])
    content = read_features(file)
    assert content.pids.tolist() == content.camids.tolist() == [7, -1, 0]


def test_read_features_has_no_pids_if_all_are_unknown(tmp_path):
    for file in save(tmp_path, pid=np.full(3, np.nan)):
        assert read_features(file).pids is None
    _, file = save(tmp_path, pid=pa.nulls(3))
    assert read_features(file).pids is None


def test_read_features_keeps_large_ids_exact_beside_null(tmp_path):
    _, file = save(tmp_path, pid=pa.array([2**60, 2**60 + 1, None]))
    assert read_features(file).pids.tolist() == [2**60, 2**60 + 1, -1]


INVALID = {
    "fractions": (np.array([0.5, 1, 0.2]), "0.5 in row 0, 0.2 in row 2"),
    "infinity": (np.array([1, np.inf, 2]), "inf in row 1"),
    "words": (np.array(["1", "anna", "2"]), "anna in row 1"),
    "negative": (np.array([1, 2, -2]), "-2 in row 2"),
    "too large": (np.array([1, 2, 2**63], np.uint64), "9223372036854775808 in row 2"),
    "inexact": (np.array([1, 2, 2.0**60]), "1.152921504606847e+18 in row 2"),
    "digits of another script": (np.array(["1", "1_0", "٣"]), "1_0 in row 1, ٣ in row 2"),
}


@pytest.mark.parametrize("kind", INVALID)
@pytest.mark.parametrize("column", ["pid", "camid"])
def test_read_features_rejects_invalid_ids_by_row(kind, column, tmp_path):
    values, rows = INVALID[kind]
    for file in save(tmp_path, **{column: values}):
        with pytest.raises(UserError) as raised:
            read_features(file)
        assert f"{file} is not a readable feature file: {column} must be integers" in str(raised)
        assert rows in str(raised.value)


def test_read_features_rejects_types_that_are_not_ids(tmp_path):
    for values, kind in (
        (np.array([True, False, True]), "bool"),
        (np.array([1j, 2, 3]), "complex128"),
        (np.array(["2024", "2025", "2026"], "datetime64[Y]"), "datetime64"),
    ):
        np.savez(tmp_path / "t.npz", feature=FEATURES, pid=values)
        with pytest.raises(UserError, match=rf"pid holds {kind}"):
            read_features(tmp_path / "t.npz")
    for values in (pa.array([True, None, True]), pa.array([[1], [2], [3]])):
        _, file = save(tmp_path, pid=values)
        with pytest.raises(UserError, match="must hold numbers or text"):
            read_features(file)
    np.savez(tmp_path / "t.npz", feature=FEATURES, pid=np.zeros((3, 1), int))
    with pytest.raises(UserError, match=r"pid holds int64 \[3, 1\]"):
        read_features(tmp_path / "t.npz")
    np.savez(tmp_path / "t.npz", feature=FEATURES, pid=np.array([1, None, "a"], object))
    with pytest.raises(UserError, match="is not a readable feature file"):
        read_features(tmp_path / "t.npz")


ROW = st.none() | st.lists(st.none() | st.floats(width=32), max_size=3)


@given(rows=st.lists(ROW, max_size=6), normalise=st.booleans())
def test_read_features_rejects_incomplete_rows(rows, normalise, tmp_path_factory):
    file = tmp_path_factory.mktemp("rows") / "t.parquet"
    parquet.write_table(pa.table({"feature": pa.array(rows, pa.list_(pa.float32()))}), file)
    complete = all(row is not None and None not in row for row in rows)
    equal_lengths = len({len(row) for row in rows if row is not None}) < 2
    has_direction = not normalise or all(
        any(row) and np.isfinite(row).all() for row in rows if complete
    )
    if not (complete and equal_lengths and has_direction):
        with pytest.raises(UserError, match="rows of feature are"):
            read_features(file, normalise)
        return
    features = read_features(file, normalise).features
    assert features.shape == (len(rows), len(rows[0]) if rows else 0)
    if normalise:
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-6)
    elif rows:
        np.testing.assert_array_equal(features, np.array(rows, np.float32))


VALUE = st.none() | st.integers(-1, 2**40) | st.just(float("nan"))


@given(values=st.lists(VALUE, min_size=1, max_size=8), form=st.sampled_from(["float64", "text"]))
def test_read_features_round_trips_ids(values, form, tmp_path_factory):
    file = tmp_path_factory.mktemp("ids") / "t.parquet"
    column = [None if v is None else float(v) if form == "float64" else str(v) for v in values]
    expected = [-1 if v is None or v != v else v for v in values]
    lists = [[1.0]] * len(values)
    parquet.write_table(pa.table({"feature": lists, "pid": pa.array(column)}), file)
    pids = read_features(file).pids
    assert (pids is None) == (max(expected) < 0)
    assert pids is None or pids.tolist() == expected


def test_read_features_rejects_null_and_ragged_lists(tmp_path):
    fixed = pa.array([[1.0, 0.0], None, [0.0, 1.0]], pa.list_(pa.float32(), 2))
    for values, message in (
        (pa.array([[1.0, 0], None, [0, 1]]), "1 rows of feature are null: 1"),
        (fixed, "1 rows of feature are null: 1"),
        (pa.array([[1.0, 0], [1], [0, 1]]), "not of the length of most, 2: 1"),
        (pa.array([[1.0, 0], [1, None], [0, 1]]), "null in part: 1"),
        (pa.array([["1"], ["2"], ["3"]]), "must hold floating-point numbers"),
        (pa.array([1.0, 2, 3]), "must hold lists of numbers"),
    ):
        for normalise in (False, True):
            _, file = save(tmp_path, feature=values)
            with pytest.raises(UserError, match=message):
                read_features(file, normalise)


def test_read_features_normalises_extreme_values(tmp_path):
    rows = np.array([[1e300, 1e300], [1e-300, 0], [3, 4]])
    np.save(tmp_path / "t.npy", rows)
    features = read_features(tmp_path / "t.npy", normalise=True).features
    np.testing.assert_allclose(features, [[0.5**0.5, 0.5**0.5], [1, 0], [0.6, 0.8]], rtol=1e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0])
def test_read_features_rejects_rows_without_direction(value, tmp_path):
    rows = np.ones((3, 2), np.float32)
    rows[1] = value
    np.save(tmp_path / "t.npy", rows)
    with pytest.raises(UserError, match=": 1; leave them out"):
        read_features(tmp_path / "t.npy", normalise=True)


def test_read_features_requires_unique_keys(tmp_path):
    for file in save(tmp_path, key=np.array(["a", "b", "a"])):
        with pytest.raises(UserError, match="key 'a' is in rows 0 and 2"):
            read_features(file)
    _, file = save(tmp_path, key=pa.array(["a", None, "c"]))
    with pytest.raises(UserError, match="key is null in row 1"):
        read_features(file)


def header_of(shape):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


def test_read_npz_rejects_headers_with_wrong_sizes(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("feature.npy", header_of((1_500_000, 2048)) + bytes(800_000))
    with pytest.raises(UserError, match="feature claims 12,288,000,000 bytes and has 800,000"):
        read_features(tmp_path / "t.npz")


def test_read_npz_rejects_decompression_bombs(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("feature.npy", header_of((2**15, 2**10)) + bytes(2**27))
    with pytest.raises(UserError, match="it needs 134,217,856 bytes of memory"):
        read_features(tmp_path / "t.npz")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_read_features_raises_only_user_errors_on_damage(suffix, tmp_path):
    files = {file.suffix: file for file in save(tmp_path, pid=np.arange(3))}
    np.save(tmp_path / "t.npy", FEATURES)
    file = files.get(suffix, tmp_path / "t.npy")
    content = file.read_bytes()
    for position in range(0, len(content), 1 + len(content) // 500):
        file.write_bytes(
            content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :]
        )
        with contextlib.suppress(UserError):
            read_features(file)


def test_read_parquet_rejects_decompression_bombs(tmp_path):
    count = 10_000_000
    pids = pa.array(np.zeros(count, np.int64))
    parquet.write_table(pa.table({"feature": pids, "pid": pids}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match="it needs 160,000,000 bytes of memory"):
        read_features(tmp_path / "t.parquet")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_read_parquet_rejects_very_long_texts(kind, tmp_path):
    _, file = save(tmp_path, pid=pa.array(["1" * 10_000_000] * 3, kind))
    with pytest.raises(UserError, match="pid has a text of 10,000,000 characters"):
        read_features(file)


def test_write_table_quotes_names_in_csv(tmp_path):
    names = ["a,b.jpg", 'the "red" one.jpg', "two\nlines.jpg", "old\rmac.jpg", " .jpg", "höhe.jpg"]
    columns = {"key": np.array(names), "label": np.arange(6), "x": np.full(6, 0.1, np.float32)}
    write_table(columns, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, strict=True))
    assert [row["key"] for row in rows] == names
    assert [row["label"] for row in rows] == list("012345")
    assert rows[0]["x"] == "0.1"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_write_table_rejects_names_that_are_not_utf_8(suffix, tmp_path):
    with pytest.raises(UserError, match="cannot hold the name"):
        write_table({"key": np.array(["a\udcff.jpg"])}, tmp_path / f"t{suffix}")
    assert not list(tmp_path.iterdir())
