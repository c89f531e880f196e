"""``reid-gen merge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.cli.command import Command
from reid_gen.cli.options import FILE, FORCE, INPUT, JSON
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.distributed.blocks import BlockFolder


@click.command(cls=Command)
@click.argument("shards", type=INPUT, nargs=-1, required=True)
@click.option("--out", type=FILE, required=True, help="File or folder to write.")
@JSON
@FORCE
def merge(*, shards: tuple[Path, ...], out: Path, output: Path | None) -> None:
    """Merge SHARDS, which extract, meshes or generate wrote.

    All shards must be there, once each, of the same images, options and model. The output is what
    the command writes without shards.

    Example: reid-gen merge features.npz.shard-*-of-4 --out features.npz
    """
    from reid_gen.distributed.shards import open_shards
    from reid_gen.extras import need

    need("reid-gen merge", "pyarrow")
    results = Results(output)
    folders = open_shards(shards)
    match folders[0].header["command"]:
        case "extract":
            _merge_features(folders, out, results)
        case "meshes":
            _merge_bodies(folders, out, results)
        case "generate":
            _merge_groups(folders, out, results)


def _merge_features(folders: list[BlockFolder], out: Path, results: Results) -> None:
    from reid_gen.cli.extract import write_features
    from reid_gen.data.feature_files import FEATURE_TABLE_SUFFIXES
    from reid_gen.data.tables import check_table
    from reid_gen.distributed.blocks import read_blocks

    check_table(out, FEATURE_TABLE_SUFFIXES)

    from reid_gen.inference.extract_blocks import join_features

    write_features(join_features(read_blocks(folders)), out, results)


def _merge_bodies(folders: list[BlockFolder], out: Path, results: Results) -> None:
    from reid_gen.body.estimate.mesh_blocks import join_bodies
    from reid_gen.body.table import save_table
    from reid_gen.cli.meshes import describe_bodies
    from reid_gen.distributed.blocks import read_blocks
    from reid_gen.files import written_aside

    tables = join_bodies(read_blocks(folders), folders[0].header)
    with written_aside(out) as aside:
        for split, table in tables.items():
            save_table(table, aside / f"{split}.npz")
    describe_bodies(tables, out, results)


def _merge_groups(folders: list[BlockFolder], out: Path, results: Results) -> None:
    from reid_gen.cli.generate import describe_groups
    from reid_gen.data.check_groups import check_groups
    from reid_gen.data.positive_groups import load_groups
    from reid_gen.distributed.blocks import read_blocks
    from reid_gen.files import written_aside
    from reid_gen.positives.generate_blocks import write_groups

    with written_aside(out) as aside:
        write_groups(read_blocks(folders), folders[0].header, aside)
    groups = load_groups(out)
    check_groups(groups)
    describe_groups(groups, results)
