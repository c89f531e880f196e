"""Shards of a job: where they are written, and the check that all of them can be merged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reid_gen.data.headers import differing_keys
from reid_gen.distributed.blocks import BlockFolder, open_folder
from reid_gen.errors import UserError, join_some


def shard_folder(target: Path, shard: tuple[int, int]) -> Path:
    """Folder of a shard, beside the output that merging writes.

    Args:
        target: Output of the whole job.
        shard: Index of the shard, from 0, and number of shards.
    """
    return target.with_name(f"{target.name}.shard-{shard[0] + 1}-of-{shard[1]}")


def work_folder(target: Path) -> Path:
    """Folder of the blocks of a job without shards while it is computed."""
    return target.with_name(f".{target.name}.blocks")


def open_shards(paths: Sequence[Path]) -> list[BlockFolder]:
    """Open all shards of a job, in order.

    Args:
        paths: Folders of the shards, in any order.

    Raises:
        UserError: If they belong to different jobs, or a shard is missing, incomplete or there
            twice.
    """
    folders = [open_folder(path) for path in paths]
    first = folders[0]
    for folder in folders[1:]:
        differing = differing_keys(first.header, folder.header)
        differing += ["number of shards"] * (folder.shard[1] != first.shard[1])
        if differing:
            raise UserError(
                f"{first.path} and {folder.path} differ in {join_some(differing)}; merge shards of "
                "one command, on the same images with the same options and model"
            )
    by_index: dict[int, BlockFolder] = {}
    for folder in folders:
        index = folder.shard[0]
        if index in by_index:
            raise UserError(
                f"{by_index[index].path} and {folder.path} are both shard {folder.shard_name}; "
                "give each shard once"
            )
        by_index[index] = folder
    count = first.shard[1]
    absent = [f"{index + 1}/{count}" for index in range(count) if index not in by_index]
    if absent:
        raise UserError(
            f"shards are missing: {join_some(absent)}; run the command with --shard for each of "
            "them, then merge all"
        )
    for folder in folders:
        if missing := folder.missing():
            raise UserError(
                f"{folder.path} lacks {len(missing)} of {len(folder.numbers)} blocks; run the "
                f"command with --shard {folder.shard_name} again to complete it"
            )
    return [by_index[index] for index in range(count)]
