import json
from pathlib import Path

import pytest

from reid_gen.distributed.blocks import HEADER, read_blocks
from reid_gen.distributed.engines import compute_blocks
from reid_gen.distributed.shards import open_shards, shard_folder
from reid_gen.errors import UserError
from reid_gen.runtime.progress import Silent
from tests.distributed.jobs import folder_of, length_job

FULL_HEADER = {"format": 1, "command": "", "images": 1, "images_sha256": "", "blocks": 1}
OTHER_MODEL = {"settings": {"batch": 2}, "model_sha256": "1"}
OTHER_SETTINGS = {"settings": {"batch": 4}, "model_sha256": "0"}


@pytest.fixture
def shards(tmp_path):
    """Return the folders of three shards."""
    return [make_shard(tmp_path, index, 3) for index in range(3)]


def make_shard(folder, index, count, name="f.npz", **options):
    job = length_job(count=10, size=2, **options)
    path = shard_folder(folder / name, (index, count))
    compute_blocks(job, folder_of(job, path, (index, count)), "local", None, Silent())
    return path


def error_of(*paths):
    with pytest.raises(UserError) as error:
        open_shards(paths)
    return str(error.value)


def test_shard_folder_is_beside_the_output():
    assert shard_folder(Path("a/f.npz"), (1, 4)) == Path("a/f.npz.shard-2-of-4")


def test_open_shards_gives_all_blocks_in_order(shards):
    blocks = list(read_blocks(open_shards([shards[2], shards[0], shards[1]])))
    lengths = [length for block in blocks for length in block.columns["length"].tolist()]
    assert lengths == list(range(1, 11))


def test_open_shards_takes_more_shards_than_blocks(tmp_path):
    folders = open_shards([make_shard(tmp_path, index, 7) for index in range(7)])
    assert [list(folder.numbers) for folder in folders[3:]] == [[3], [4], [], []]
    assert len(list(read_blocks(folders))) == 5


def test_open_shards_names_missing_shards(shards):
    message = error_of(shards[1])
    assert message.startswith("shards are missing: 1/3, 3/3; run the command with --shard for each")


def test_open_shards_names_a_shard_that_is_there_twice(shards, tmp_path):
    copy = make_shard(tmp_path, 1, 3, name="copy")
    message = error_of(*shards, copy)
    assert message == f"{shards[1]} and {copy} are both shard 2/3; give each shard once"


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"facts": OTHER_MODEL}, "model_sha256"),
        ({"facts": OTHER_SETTINGS}, "settings.batch"),
    ],
)
def test_open_shards_refuses_shards_of_other_commands(shards, tmp_path, options, difference):
    other = make_shard(tmp_path, 2, 3, name="other", **options)
    message = error_of(*shards[:2], other)
    assert message == (
        f"{shards[0]} and {other} differ in {difference}; merge shards of one command, on the same "
        "images with the same options and model"
    )


def test_open_shards_refuses_shards_of_other_images(shards):
    header = json.loads((shards[2] / HEADER).read_text())
    (shards[2] / HEADER).write_text(json.dumps({**header, "images_sha256": "1"}))
    assert f"{shards[0]} and {shards[2]} differ in images_sha256;" in error_of(*shards)


def test_open_shards_refuses_another_number_of_shards(shards, tmp_path):
    other = make_shard(tmp_path, 1, 2)
    assert f"{shards[0]} and {other} differ in number of shards;" in error_of(shards[0], other)


def test_open_shards_names_a_shard_that_lacks_blocks(shards):
    (shards[0] / "block-000003.parquet").unlink()
    assert error_of(*shards) == (
        f"{shards[0]} lacks 1 of 2 blocks; run the command with --shard 1/3 again to complete it"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("{", "Expecting property name"),
        ("[]", "Input should be"),
        ('{"format": 2}', "format: Input should be less than or equal to 1"),
        (json.dumps({**FULL_HEADER, "shard": [0, 2]}), "shard.0: Input should be greater"),
        (json.dumps({**FULL_HEADER, "shard": [3, 2]}), "shard 3 of 2"),
    ],
)
def test_open_shards_refuses_other_folders(tmp_path, content, reason):
    if content is not None:
        (tmp_path / HEADER).write_text(content)
    message = error_of(tmp_path)
    assert message.startswith(f"{tmp_path} is no shard ({HEADER}: ")
    assert reason in message
    assert message.endswith("); give folders that a command with --shard wrote")
