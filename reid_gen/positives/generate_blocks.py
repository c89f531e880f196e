"""``reid-gen generate`` in blocks: the job, and the groups that its blocks make up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reid_gen.data.positive_groups import (
    member_line,
    parse_member,
    part_folder,
    start_groups,
    write_part,
)
from reid_gen.distributed.blocks import Block
from reid_gen.distributed.job import Job, digest_texts, split_rows
from reid_gen.positives import generate
from reid_gen.positives.generate import Positives
from reid_gen.runtime.seeding import seeded_rng
from reid_gen.types import Image

COMMAND = "generate"
MEMBER, CONTENT = "member", "content"
"""Columns: the line of the manifest, and the JPEG file."""


class GroupWorker:
    """Generates the groups of blocks, each of which is a part of the groups.

    Args:
        build: Builds what generates positives.
        members: Positives per image.
        seed: Seed of all randomness.
    """

    def __init__(self, build: Callable[[], Positives], members: int, seed: int) -> None:
        self.positives = build()
        self.members = members
        self.seed = seed

    def __call__(self, number: int, images: Sequence[Image]) -> Block:
        """Generate part ``number`` of the groups, with the seed of that part.

        Raises:
            UserError: If an image cannot be decoded.
        """
        rng = seeded_rng(self.seed, number)
        batches = self.positives.source(images, self.members, rng)
        folder = part_folder(Path(), number)
        scorer = self.positives.scorer
        files = list(generate.part_files(images, batches, scorer, self.seed, folder))
        members = np.array([member_line(member) for member, _ in files], dtype=str)
        return Block({MEMBER: members, CONTENT: np.array([file for _, file in files], object)})


def generate_job(
    images: Sequence[Image], header: Mapping[str, Any], build: Callable[[], Positives]
) -> Job:
    """Describe the generation of groups as a job.

    Args:
        images: Source images.
        header: Header of the groups.
        build: Builds what generates positives; pickled, and called in each process.
    """
    return Job(
        command=COMMAND,
        images=images,
        images_sha256=digest_texts(image.key for image in images),
        blocks=split_rows(len(images), generate.PART),
        facts={"groups": header},
        open_worker=partial(GroupWorker, build, header["members"], header["seed"]),
    )


def write_groups(blocks: Iterable[Block], header: Mapping[str, Any], folder: Path) -> None:
    """Write groups to a folder; parts that it already holds are kept.

    Args:
        blocks: All blocks of the job, in order.
        header: Header of the job.
        folder: Folder of the groups.

    Raises:
        UserError: If the folder holds other groups, or cannot be written.
    """
    start_groups(folder, header["groups"])
    for number, block in enumerate(blocks):
        if not part_folder(folder, number).is_dir():
            members = map(parse_member, block.columns[MEMBER])
            write_part(folder, number, list(zip(members, block.columns[CONTENT], strict=True)))
