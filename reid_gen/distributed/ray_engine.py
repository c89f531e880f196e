"""Ray Data: blocks are computed by actors, each of which holds a model, on one or more machines."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from reid_gen.distributed.job import Job, Worker
from reid_gen.errors import UserError
from reid_gen.types import Image

ADDRESS = "RAY_ADDRESS"
"""Environment variable with the address of a cluster, as Ray itself reads it."""
ATTEMPTS = 3
"""Times that a block is begun before an actor that dies each time is reported."""
CORES = 4
"""CPU cores of an actor where there is no GPU and the number of actors is not given."""
CONNECT_TIMEOUT = 10
"""Seconds."""

Row = Mapping[str, Any]


def compute_on_ray(
    job: Job, numbers: Sequence[int], write: Callable[[int, bytes], None], actors: int | None
) -> int:
    """Compute blocks by actors; if an actor dies, another one computes its block again.

    Args:
        job: The job.
        numbers: Blocks to compute.
        write: Takes the number of a block and its Parquet file, in any order.
        actors: Number of actors; None takes one per GPU, or per ``CORES`` CPU cores.

    Returns:
        Number of blocks that were computed again.

    Raises:
        UserError: If Ray cannot be reached, a block cannot be computed, or its actors die.
    """
    with _connection() as ray:
        cluster = ray.cluster_resources()
        gpus = cluster.get("GPU", 0) if job.uses_gpu else 0
        size, resources = actor_resources(cluster.get("CPU", 0), gpus, actors)
        attempts = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Attempts).remote()
        items = [{"block": n, "images": pickle.dumps(job.images_of(n))} for n in numbers]
        rows = (
            ray.data.from_items(items, override_num_blocks=len(items))
            .map_batches(
                Actor,
                fn_constructor_args=(job.open_worker, Path.cwd(), partial(_begin, attempts)),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=min(size, len(items))),
                **resources,
            )
            .iter_rows()
        )
        try:
            _collect(rows, numbers, write)
        except ray.exceptions.RayTaskError:
            raise  # an error of ours, whose traceback is needed
        except ray.exceptions.RayError as error:
            raise UserError(
                f"Ray stopped: {_first_line(error)}; run the same command again to resume"
            ) from error
        repeated: int = ray.get(attempts.repeated.remote())
        return repeated


def _collect(
    rows: Iterable[Row], numbers: Sequence[int], write: Callable[[int, bytes], None]
) -> None:
    """Write blocks as they arrive; raise the error of the first that fails, as one process does."""
    pending, errors = set(numbers), dict[int, str]()
    for row in rows:
        number = int(row["block"])
        pending.discard(number)
        if row["error"]:
            errors[number] = row["error"]
        else:
            write(number, row["content"])
        if errors and min(errors) < min(pending, default=math.inf):
            raise UserError(errors[min(errors)])
    assert not pending, pending


def actor_resources(cpus: float, gpus: float, actors: int | None) -> tuple[int, dict[str, float]]:
    """Divide the CPU cores and GPUs of a cluster among actors.

    Args:
        cpus: Number of cores.
        gpus: Number of GPUs that actors may use.
        actors: Number of actors; None takes one per GPU, or per ``CORES`` cores.

    Returns:
        Number of actors, and the resources of each.

    Raises:
        UserError: If the cluster has no core.
    """
    if cpus <= 0:
        raise UserError(
            "the Ray cluster has no CPU core for actors; start at least one worker node, even if "
            "the cluster scales itself"
        )
    size = actors or int(gpus) or max(1, int(cpus // CORES))
    # An actor with several cores gets as many threads; a fraction lets it share a core.
    resources: dict[str, float] = {"num_cpus": cpus // size or cpus / size}
    if gpus:
        resources["num_gpus"] = 1 / math.ceil(size / gpus)
    return size, resources


class _Attempts:
    """Actor that counts how often each block was begun."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        """Count an attempt at a block, and return how many there were."""
        self._counts[number] += 1
        return self._counts[number]

    def repeated(self) -> int:
        """Return the number of blocks that were begun more than once."""
        return sum(count > 1 for count in self._counts.values())


def _begin(attempts: Any, number: int) -> int:
    """Count an attempt at a block with the handle of :class:`_Attempts`; return how many."""
    import ray

    count: int = ray.get(attempts.begin.remote(number))
    return count


class Actor:
    """Computes blocks in a process of its own.

    Args:
        open_worker: Loads the model.
        folder: Working folder of the command, which relative paths refer to.
        begin: Counts an attempt at a block; returns how many there were.
    """

    def __init__(
        self, open_worker: Callable[[], Worker], folder: Path, begin: Callable[[int], int]
    ) -> None:
        self.open_worker = open_worker
        self.folder = folder
        self.begin = begin
        self.worker: Worker | None = None

    def __call__(self, batch: Row) -> dict[str, list[Any]]:
        """Compute one block; errors that users can fix are returned, and not raised."""
        number, images = int(batch["block"][0]), pickle.loads(batch["images"][0])
        content, message = b"", ""
        try:
            content = self._compute(number, images)
        except UserError as error:
            message = str(error)
        return {"block": [number], "content": [content], "error": [message]}

    def _compute(self, number: int, images: Sequence[Image]) -> bytes:
        if self.begin(number) > ATTEMPTS:
            raise UserError(
                f"the block of images from {images[0].key} to {images[-1].key} ended its Ray actor "
                f"{ATTEMPTS} times, as it happens if memory runs out; give fewer --actors"
            )
        if self.worker is None:
            try:
                os.chdir(self.folder)
            except OSError as error:
                raise UserError(
                    f"{self.folder}, the folder that the command runs in, cannot be opened on "
                    f"{socket.gethostname()}: {error.strerror}; share it with every node"
                ) from error
            self.worker = self.open_worker()
        return self.worker(number, images).encode()


@contextlib.contextmanager
def _connection() -> Iterator[Any]:
    """Connect to the cluster at ``RAY_ADDRESS``, or start Ray on this machine; yield the module.

    Ray that this process has started before is used and left running. What Ray prints goes to its
    log files only.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = -1  # a block may take hours on a CPU
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(Path(os.devnull).open("w"))
        stack.enter_context(contextlib.redirect_stdout(nowhere))
        if not ray.is_initialized():
            stack.callback(ray.shutdown)
            _start(ray, nowhere.fileno())
        yield ray


def _start(ray: Any, nowhere: int) -> None:
    address = os.environ.get(ADDRESS)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        options |= {"include_dashboard": False, "_node_ip_address": _loopback()}
    stderr = os.dup(2)
    os.dup2(nowhere, 2)  # Ray's C++ part announces its log level there
    try:
        if address:
            _reach(address)
        ray.init(address=address or "local", **options)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"connect to Ray at {address}" if address else "start Ray"
        raise UserError(
            f"cannot {where}: {_first_line(error)}; check {ADDRESS}, which names the cluster and "
            "must be unset to compute on this machine"
        ) from error
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _reach(address: str) -> None:
    """Connect once to the port of an address, because Ray tries for minutes.

    Raises:
        OSError: If nothing listens there.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT).close()


def _loopback() -> str:
    """Return the address of this node, at which no other machine reaches it."""
    with contextlib.suppress(ImportError):
        from ray._private import services

        # Ray replaces 127.0.0.1 by an outer address, and then listens on all of them.
        services.resolve_ip_for_localhost = str
    return "127.0.0.1"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
