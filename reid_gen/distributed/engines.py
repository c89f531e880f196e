"""Engines that compute the blocks of a job: in this process, or by Ray."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reid_gen.choices import EngineName
from reid_gen.distributed.blocks import BlockFolder
from reid_gen.distributed.job import Job
from reid_gen.distributed.ray_engine import compute_on_ray
from reid_gen.runtime.progress import Progress

WriteBlock = Callable[[int, bytes], None]
"""Takes the number of a block and its Parquet file."""


def compute_here(job: Job, numbers: Sequence[int], write: WriteBlock) -> None:
    """Compute blocks in this process, in order."""
    worker = job.open_worker()
    for number in numbers:
        write(number, worker(number, job.images_of(number)).encode())


def compute_blocks(
    job: Job, folder: BlockFolder, engine: EngineName, actors: int | None, progress: Progress
) -> None:
    """Compute the blocks of a job, or of a shard, that are not there yet.

    Args:
        job: The job.
        folder: Folder of its blocks; complete blocks are kept.
        engine: Where the blocks are computed.
        actors: Number of Ray actors; None for a number that fits the cluster.
        progress: Progress display.

    Raises:
        UserError: If the folder holds blocks of another job, a block cannot be computed or
            written, or Ray cannot be reached.
    """
    folder.start()
    missing = folder.missing()
    if not missing:
        return
    total = sum(len(job.blocks[number]) for number in folder.numbers)
    remaining = sum(len(job.blocks[number]) for number in missing)
    with progress.task(job.command, total, total - remaining) as advance:

        def write(number: int, content: bytes) -> None:
            folder.write(number, content)
            advance(len(job.blocks[number]))

        match engine:
            case "local":
                compute_here(job, missing, write)
            case "ray":
                if repeated := compute_on_ray(job, missing, write, actors):
                    progress.log(f"blocks computed again because their Ray actor died: {repeated}")
