"""Blocks computed by the actors of a local Ray, started once for all tests of this file."""

import os
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from reid_gen.cli.main import main
from reid_gen.distributed import ray_engine
from reid_gen.distributed.blocks import read_blocks
from reid_gen.distributed.engines import compute_blocks
from reid_gen.runtime.progress import Silent
from tests.cli.conftest import gan_run  # noqa: F401
from tests.cli.test_shards import broken, content, people  # noqa: F401
from tests.distributed.jobs import folder_of, length_job

ray = pytest.importorskip("ray", reason="needs Ray: pip install -e '.[ray]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        ray_engine._start(ray, nowhere.fileno())
        yield
        ray.shutdown()


class Log(Silent):
    def __init__(self):
        self.lines = []

    def log(self, line):
        self.lines.append(line)


def compute(job, path):
    folder, log = folder_of(job, path), Log()
    compute_blocks(job, folder, "ray", 2, log)
    return [block.columns["length"].tolist() for block in read_blocks([folder])], log.lines


def without_progress(text):
    """Drop the progress lines that a slow machine shows."""
    return [line for line in text.splitlines() if not line.endswith(" left")]


def test_ray_is_reached_from_this_machine_only():
    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("command", "out", "actors"),
    [
        (
            "extract crops people/bounding_box_test --model run --batch 4 --skip-unreadable",
            "a.npz",
            2,
        ),
        ("meshes pedestrians --root people", "bodies", 1),
        ("generate run --members 2", "groups", 1),
    ],
)
def test_ray_writes_the_bytes_of_the_local_engine(
    command, out, actors, people, broken, capsys  # noqa: F811
):  # fmt: skip
    words = [*command.split(), "--out"]
    (people / "local").mkdir()
    main([*words, f"local/{out}"])
    expected = capsys.readouterr()
    main([*words, out, "--engine", "ray", "--actors", str(actors)])
    actual = capsys.readouterr()
    assert actual.out == expected.out.replace(f"local/{out}", out)
    assert without_progress(actual.err) == without_progress(expected.err)
    assert content(people / out) == content(people / "local" / out)
    assert not list(people.glob(".*"))


def test_ray_computes_the_block_of_a_dead_actor_again(tmp_path):
    job = length_job(die_at=2, mark=tmp_path / "died")
    lengths, log = compute(job, tmp_path / "blocks")
    assert (tmp_path / "died").exists()
    assert lengths == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]
    assert log == ["blocks computed again because their Ray actor died: 1"]
