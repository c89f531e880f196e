"""Options of commands that can compute in blocks: engine, actors and shard."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.choices import EngineName
from reid_gen.cli.results import Results
from reid_gen.extras import need

if TYPE_CHECKING:
    from reid_gen.distributed.blocks import BlockFolder
    from reid_gen.distributed.job import Job


@dataclass(frozen=True)
class BlockOptions:
    """Values of the options.

    Attributes:
        engine: Where blocks are computed.
        actors: Number of Ray actors; None if not given.
        shard: Index of the shard, from 0, and number of shards; None for everything.
    """

    engine: EngineName
    actors: int | None
    shard: tuple[int, int] | None

    @property
    def in_blocks(self) -> bool:
        """Whether the command computes in blocks."""
        return self.engine != "local" or self.shard is not None

    def check(self, sheet: Path | None = None) -> None:
        """Check that the options fit each other and that their packages are installed.

        Args:
            sheet: Value of the command's --sheet, which needs all blocks.

        Raises:
            UsageError: If an option has no effect.
            UserError: If a package is missing.
        """
        if self.actors is not None and self.engine != "ray":
            raise click.UsageError(f"--actors {self.actors} has no effect without --engine ray")
        if self.shard is not None and sheet is not None:
            raise click.UsageError(
                f"--sheet {sheet} has no effect with --shard; leave it out, and run the command "
                "with --sheet once the shards are merged"
            )
        if self.engine == "ray":
            need("--engine ray", "ray")
        if self.shard is not None:
            need("--shard", "pyarrow")

    def compute(self, job: Job, out: Path) -> BlockFolder:
        """Compute the blocks of a job, or of its shard.

        Args:
            job: The job.
            out: Output of the command, beside which the blocks are written.

        Raises:
            UserError: If a block cannot be computed or written.
        """
        from reid_gen.distributed.blocks import BlockFolder
        from reid_gen.distributed.engines import compute_blocks
        from reid_gen.distributed.shards import shard_folder, work_folder
        from reid_gen.runtime.progress import Terminal

        path = work_folder(out) if self.shard is None else shard_folder(out, self.shard)
        folder = BlockFolder(path, job.header, self.shard or (0, 1))
        compute_blocks(job, folder, self.engine, self.actors, Terminal())
        return folder


def report_shard(folder: BlockFolder, out: Path, results: Results) -> None:
    """Report a shard, and how all shards are merged."""
    count = folder.shard[1]
    results.echo(
        f"wrote shard {folder.shard_name}: {folder.path}; once all {count} are there: "
        f"reid-gen merge {out}.shard-*-of-{count} --out {out}"
    )
    results.write_json(
        {"folder": str(folder.path), "shard": folder.shard_name, "blocks": len(folder.numbers)}
    )


def remove_blocks(folder: BlockFolder) -> None:
    """Remove the blocks of a job whose output is complete."""
    shutil.rmtree(folder.path)
