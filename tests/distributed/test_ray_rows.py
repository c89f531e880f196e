"""The parts of the Ray engine that work without Ray."""

import pickle
import socket
from pathlib import Path

import pytest

from reid_gen.distributed.ray_engine import ATTEMPTS, Actor, _collect, actor_resources
from reid_gen.errors import UserError
from tests.distributed.jobs import LengthWorker, length_job


def row(block, error=""):
    return {"block": block, "content": b"rows", "error": error}


def collect(*rows):
    """Return the numbers of the blocks that are written until an error is raised."""
    written = []
    with pytest.raises(UserError) as error:
        _collect(rows, range(5), lambda number, content: written.append(number))
    return written, str(error.value)


def test_collect_writes_blocks_in_any_order():
    written = []
    rows = [row(block) for block in (3, 0, 4, 1, 2)]
    _collect(rows, range(5), lambda *block: written.append(block))
    assert written == [(block, b"rows") for block in (3, 0, 4, 1, 2)]


def test_collect_raises_the_error_of_the_first_block():
    rows = row(4), row(3, "late"), row(0), row(1, "early"), row(2)
    assert collect(*rows) == ([4, 0], "early")
    assert collect(*rows[:3], row(1), row(2)) == ([4, 0, 1, 2], "late")


@pytest.mark.parametrize(
    ("cpus", "gpus", "actors", "expected"),
    [
        (16, 0, None, (4, {"num_cpus": 4})),
        (2, 0, None, (1, {"num_cpus": 2})),
        (8, 0, 3, (3, {"num_cpus": 2})),
        (2, 0, 8, (8, {"num_cpus": 0.25})),
        (64, 8, None, (8, {"num_cpus": 8, "num_gpus": 1})),
        (16, 2, 3, (3, {"num_cpus": 5, "num_gpus": 0.5})),
        (16, 4, 2, (2, {"num_cpus": 8, "num_gpus": 1})),
    ],
)
def test_actor_resources_divides_cores_and_gpus(cpus, gpus, actors, expected):
    assert actor_resources(cpus, gpus, actors) == expected


def test_actor_resources_refuses_a_cluster_without_cores():
    with pytest.raises(UserError, match="the Ray cluster has no CPU core for actors; start at"):
        actor_resources(0, 0, 4)


def computed(actor, number=1):
    """Return content and error of a block that an actor is given."""
    images = pickle.dumps(length_job().images_of(number))
    result = actor({"block": [number], "images": [images]})
    assert result["block"] == [number]
    return result["content"][0], result["error"][0]


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """Return the working folder, to which the test returns after an actor changed it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_actor_works_in_the_folder_of_the_command(workdir):
    (workdir / "inner").mkdir()
    content, error = computed(Actor(LengthWorker, workdir / "inner", lambda number: 1))
    assert (content[:4], error) == (b"PAR1", "")
    assert Path.cwd() == workdir / "inner"


def test_actor_opens_its_worker_once(workdir):
    opened = []
    actor = Actor(lambda: opened.append(1) or LengthWorker(), workdir, lambda number: 1)
    for number in range(3):
        computed(actor, number)
    assert opened == [1]


def test_actor_returns_errors_that_users_can_fix(workdir):
    def fail():
        raise UserError("no such model")

    assert computed(Actor(fail, workdir, lambda number: 1)) == (b"", "no such model")


def test_actor_names_a_folder_that_its_machine_lacks(workdir):
    _, error = computed(Actor(LengthWorker, workdir / "nowhere", lambda number: 1))
    assert error == (
        f"{workdir / 'nowhere'}, the folder that the command runs in, cannot be opened on "
        f"{socket.gethostname()}: No such file or directory; share it with every node"
    )


def test_actor_gives_up_a_block_that_ended_several_actors(workdir):
    assert computed(Actor(LengthWorker, workdir, lambda number: ATTEMPTS))[1] == ""
    _, error = computed(Actor(LengthWorker, workdir, lambda number: ATTEMPTS + 1))
    assert error == (
        "the block of images from xxxx to xxxxxx ended its Ray actor 3 times, as it happens if "
        "memory runs out; give fewer --actors"
    )
