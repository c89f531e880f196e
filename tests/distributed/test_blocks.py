import json
import os
from pathlib import Path

import numpy as np
import pytest

from reid_gen.data.images import UnreadableImage
from reid_gen.distributed.blocks import HEADER, Block, read_blocks
from reid_gen.distributed.engines import compute_blocks
from reid_gen.distributed.job import digest_texts, split_rows
from reid_gen.errors import UserError
from reid_gen.runtime.progress import Silent
from tests.distributed.jobs import folder_of, length_job


def compute(job, path, shard=(0, 1)):
    folder = folder_of(job, path, shard)
    compute_blocks(job, folder, "local", None, Silent())
    return folder


def test_split_rows_covers_every_row_once():
    assert split_rows(7, 3) == [range(3), range(3, 6), range(6, 7)]
    assert split_rows(4, 2, 10) == [range(10, 12), range(12, 14)]


def test_digest_texts_depends_on_text_and_order():
    assert digest_texts(["a", "b"]) != digest_texts(["b", "a"])
    assert digest_texts(["ab"]) != digest_texts(["a", "b"])
    assert digest_texts([os.fsdecode(b"\xb5")]) == digest_texts([os.fsdecode(b"\xb5")])


def test_block_is_read_as_it_was_written(tmp_path):
    failure = UnreadableImage(Path(os.fsdecode(b"\xb5.jpg")), "it is damaged")
    columns = {
        "key": np.array(["a", "人"]),
        "content": np.array([b"\0a\0", b""], object),
        "feature": np.array([[0.1, 0.2, 0.3], [1e-30, -0.0, 2]], np.float32),
        "size": np.array([[1, 2], [3, 4]]),
        "score": np.array([0.5, 0.25]),
    }
    job = length_job(count=1)
    folder = folder_of(job, tmp_path)
    folder.start()
    folder.write(0, Block(columns, (failure,)).encode())
    (block,) = read_blocks([folder])
    assert block.columns.keys() == columns.keys()
    for name, values in columns.items():
        assert block.columns[name].dtype == values.dtype
        np.testing.assert_array_equal(block.columns[name], values)
    ((path, reason),) = [(f.path, f.reason) for f in block.unreadable]
    assert (path, reason) == (failure.path, failure.reason)


def test_block_without_rows_keeps_its_columns(tmp_path):
    folder = folder_of(length_job(count=1), tmp_path)
    folder.start()
    columns = {"key": np.array([], dtype=str), "feature": np.empty((0, 3), np.float32)}
    folder.write(0, Block(columns).encode())
    (block,) = read_blocks([folder])
    assert block.columns["key"].dtype.kind == "U"
    assert block.columns["feature"].shape == (0, 3)


def test_read_blocks_names_a_damaged_file(tmp_path):
    folder = compute(length_job(), tmp_path)
    folder.file(1).write_bytes(folder.file(1).read_bytes()[:-20])
    message = r"block-000001.parquet is damaged \(.*\); remove it and run the command that wrote it"
    with pytest.raises(UserError, match=message):
        list(read_blocks([folder]))


def test_compute_blocks_keeps_the_order_of_the_images(tmp_path):
    job = length_job(count=10, size=3)
    lengths = [block.columns["length"].tolist() for block in read_blocks([compute(job, tmp_path)])]
    assert lengths == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]


def test_compute_blocks_skips_complete_blocks(tmp_path):
    with pytest.raises(UserError, match="block 2 is bad"):
        compute(length_job(fail_at=(2,)), tmp_path)
    # These blocks would fail if they were computed once more.
    folder = compute(length_job(fail_at=(0, 1)), tmp_path)
    assert not folder.missing()
    compute(length_job(fail_at=(0, 1, 2, 3)), tmp_path)


def test_compute_blocks_computes_every_nth_block_of_a_shard(tmp_path):
    folder = compute(length_job(count=10, size=2), tmp_path, shard=(1, 3))
    names = sorted(path.name for path in tmp_path.glob("*.parquet"))
    assert names == ["block-000001.parquet", "block-000004.parquet"]
    assert list(folder.numbers) == [1, 4]


@pytest.mark.parametrize(
    ("job", "shard", "difference"),
    [
        (length_job(count=11), (0, 2), "images, images_sha256"),
        (length_job(facts={"settings": {"batch": 3}, "model_sha256": "0"}), (0, 2), "settings.bat"),
        (length_job(facts={"settings": {"batch": 2}, "model_sha256": "1"}), (0, 2), "model_sha256"),
        (length_job(), (1, 2), "shard"),
    ],
)
def test_compute_blocks_refuses_blocks_of_another_command(tmp_path, job, shard, difference):
    compute(length_job(), tmp_path, shard=(0, 2))
    message = f"{tmp_path} holds blocks of a command with other {difference}"
    with pytest.raises(UserError, match=message):
        compute(job, tmp_path, shard)


def test_compute_blocks_refuses_a_folder_with_other_files(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=f"{tmp_path} is not empty and holds no {HEADER}; remove"):
        compute(length_job(), tmp_path)


def test_compute_blocks_resumes_after_a_kill_at_the_header(tmp_path):
    (tmp_path / f".{HEADER}.partial").touch()
    assert not compute(length_job(), tmp_path).missing()


def test_block_folder_is_a_parquet_data_set(tmp_path):
    from pyarrow import parquet

    compute(length_job(), tmp_path)
    assert parquet.read_table(tmp_path)["length"].to_pylist() == list(range(1, 11))


def test_header_names_command_images_and_shard(tmp_path):
    compute(length_job(), tmp_path, shard=(1, 2))
    header = json.loads((tmp_path / HEADER).read_text())
    assert header["shard"] == [2, 2]
    assert (header["command"], header["images"], header["blocks"]) == ("extract", 10, 4)
