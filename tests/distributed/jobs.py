"""Small jobs without a model, whose workers import no torch."""

import os
import time
from functools import partial
from pathlib import Path

import numpy as np

from reid_gen.distributed.blocks import Block, BlockFolder
from reid_gen.distributed.job import Job, digest_texts, split_rows
from reid_gen.errors import UserError
from reid_gen.types import Image


class LengthWorker:
    """Counts the letters of each key.

    Args:
        die_at: Block whose process ends at once.
        mark: File that is written before; if it exists, the process lives on. None dies each time.
        fail_at: Blocks that cannot be computed.
    """

    def __init__(self, die_at=None, mark=None, fail_at=()):
        self.die_at = die_at
        self.mark = mark
        self.fail_at = fail_at

    def __call__(self, number, images):
        if number == self.die_at and not (self.mark and self.mark.exists()):
            if self.mark:
                self.mark.touch()
            os._exit(1)
        if number in self.fail_at:
            # The later blocks of other actors fail earlier.
            time.sleep(0.5 if number == min(self.fail_at) else 0)
            raise UserError(f"block {number} is bad")
        keys = [image.key for image in images]
        columns = {"key": np.array(keys, dtype=str), "length": np.array([len(k) for k in keys])}
        return Block(columns)


def length_job(count=10, size=3, facts=None, worker=LengthWorker, **options):
    images = [Image("x" * n, Path(f"{n}.jpg")) for n in range(1, count + 1)]
    return Job(
        command="extract",
        images=images,
        images_sha256=digest_texts(image.key for image in images),
        blocks=split_rows(count, size),
        facts=facts or {"settings": {"batch": 2}, "model_sha256": "0"},
        open_worker=partial(worker, **options),
    )


def folder_of(job, path, shard=(0, 1)):
    return BlockFolder(path, job.header, shard)
