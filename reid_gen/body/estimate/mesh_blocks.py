"""``reid-gen meshes`` in blocks: the job, and the body tables that its blocks make up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reid_gen.body.estimate import splits
from reid_gen.body.estimate.choice import EstimatorFiles
from reid_gen.body.table import COLUMNS, BodyTable
from reid_gen.distributed.blocks import Block
from reid_gen.distributed.job import Job, digest_texts, split_rows
from reid_gen.files import content_digest
from reid_gen.types import Image

COMMAND = "meshes"
KEY = "key"


class BodyWorker:
    """Estimates the bodies of blocks.

    Args:
        files: Files that say which body estimator is used.
        paths: Image path of each key, if the estimator needs them.
        workers: Decoding threads.

    Raises:
        UserError: If the estimator cannot be created.
    """

    def __init__(self, files: EstimatorFiles, paths: Mapping[str, Path], workers: int) -> None:
        self.estimator = files.open(paths)
        self.workers = workers

    def __call__(self, number: int, images: Sequence[Image]) -> Block:
        """Estimate the bodies in the images of a block.

        Raises:
            UserError: Listing all images of the block that do not decode.
        """
        table = splits.estimate_part(images, self.estimator, self.workers)
        columns = {name: getattr(table, name) for name in COLUMNS}
        columns["pose"] = table.pose.reshape(len(table.keys), -1)
        return Block({KEY: np.array(table.keys, dtype=str), **columns})


def meshes_job(
    images: Mapping[str, Sequence[Image]], files: EstimatorFiles, source: str, workers: int
) -> Job:
    """Describe the estimation of bodies as a job.

    Args:
        images: Images of each split.
        files: Files that say which body estimator is used.
        source: Source of the bodies, by the estimator.
        workers: Decoding threads.

    Raises:
        UserError: If a file cannot be read.
    """
    every_image = [image for split in images.values() for image in split]
    blocks: list[range] = []
    for split in images.values():
        start = blocks[-1].stop if blocks else 0
        blocks += split_rows(len(split), splits.PART_SIZE, start)
    paths = {image.key: image.path for image in every_image} if files.needs_paths else {}
    inputs = {"weights": files.weights, "body": files.body, "keypoints": files.keypoints}
    facts: dict[str, Any] = {
        "source": source,
        "settings": {"rasteriser": files.rasteriser},
        "contents_sha256": {
            name: content_digest(path) for name, path in inputs.items() if path is not None
        },
        "splits": {split: len(rows) for split, rows in images.items()},
    }
    return Job(
        command=COMMAND,
        images=every_image,
        images_sha256=digest_texts(image.key for image in every_image),
        blocks=blocks,
        facts=facts,
        open_worker=partial(BodyWorker, files, paths, workers),
        uses_gpu=False,
    )


def join_bodies(blocks: Iterable[Block], header: Mapping[str, Any]) -> dict[str, BodyTable]:
    """Join all blocks of an estimation, in order, to the table of each split.

    Args:
        blocks: The blocks.
        header: Header of the job.
    """
    parts = [block.columns for block in blocks]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in (KEY, *COLUMNS)}
    tables = {}
    start = 0
    for split, count in header["splits"].items():
        rows = slice(start, start + count)
        values = {name: columns[name][rows].reshape(count, *COLUMNS[name]) for name in COLUMNS}
        tables[split] = BodyTable(
            tuple(columns[KEY][rows].tolist()), **values, source=header["source"]
        )
        start += count
    return tables
