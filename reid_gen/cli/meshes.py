"""``reid-gen meshes``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from reid_gen.body.model import BodyModel
    from reid_gen.body.recover import Recovery

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("name")
@click.option("--root", type=PATH, required=True, help="Where the data lie.")
@click.option("--out", type=PATH, required=True, help="Folder for the tables.")
@click.option(
    "--weights",
    type=PATH,
    help="Another mesh regressor: ours, or with --body a checkpoint of SPIN or 4D-Humans.",
)
@click.option("--from", "folder", type=PATH, help="Read a file per image that others estimated.")
@click.option("--body", type=PATH, help="SMPL model, file or folder; needed for others' bodies.")
@click.option("--keypoints", type=PATH, help="JSON of COCO key points to fit the bodies to.")
@click.option("--masks", type=PATH, help="Folder of masks to fit the bodies to.")
@click.option("--shard", default="1/1", show_default=True, help="Do the i-th of n shares.")
@click.option("--sheet", type=PATH, help="Draw some bodies into a .png or .jpg.")
@click.option("--workers", type=int, default=2, show_default=True, help="Decoding threads.")
def meshes(
    name: str,
    root: Path,
    out: Path,
    weights: Path | None,
    folder: Path | None,
    body: Path | None,
    keypoints: Path | None,
    masks: Path | None,
    shard: str,
    sheet: Path | None,
    workers: int,
) -> None:
    """Estimate a 3-D body for every image of data set NAME; a killed run goes on where it was.

    Example: reid-gen meshes market1501 --root data --out bodies --sheet bodies.jpg
    """
    from reid_gen.body.evidence import EvidenceFiles
    from reid_gen.body.model import load_body
    from reid_gen.body.table import load_table
    from reid_gen.data.datasets import load_dataset
    from reid_gen.engine.meshes import (
        LISTED,
        LOW,
        Refined,
        list_low,
        recover_split,
        splits_of,
    )
    from reid_gen.engine.progress import Terminal

    share = _share(shard)
    splits = splits_of(load_dataset(name, root))
    paths = {image.key: image.path for split in splits.values() for image in split}
    _refuse_contradictions(weights, folder, body)
    model = load_body(body)
    recovery = _recovery(weights, folder, model, paths)
    if keypoints or masks:
        recovery = Refined(recovery, EvidenceFiles(keypoints, masks, paths), model)
    whole = [
        recover_split(
            split, out / f"{label}.npz", recovery,
            shard=share, workers=workers, progress=Terminal(),
        )
        for label, split in splits.items()
    ]  # fmt: skip
    if not all(whole):
        click.echo(f"share {shard} is done; the tables follow when all shares are")
        return
    tables = {split: load_table(out / f"{split}.npz") for split in splits}
    low = list_low(list(tables.values()), out / LISTED)
    for split, table in tables.items():
        click.echo(f"{split}: {len(table.keys):,} bodies, mean score {table.score.mean():.2f}")
    click.echo(f"{low:,} scores are below {LOW}: {out / LISTED}")
    if sheet is not None:
        from reid_gen.data.images import save_picture
        from reid_gen.report.bodies import bodies_sheet

        save_picture(bodies_sheet(splits["train"], tables["train"], model), sheet)


def _refuse_contradictions(weights: Path | None, folder: Path | None, body: Path | None) -> None:
    from reid_gen.errors import UserError

    if weights is not None and folder is not None:
        raise UserError("--weights estimates bodies and --from reads them; give one of the two")
    theirs = folder is not None or _is_checkpoint(weights)
    if theirs != (body is not None):
        raise UserError(
            "--body, an SMPL model, goes with bodies that others' programs estimate: give it with "
            "--from, or with a --weights checkpoint (.pt, .pth, .ckpt), and else leave it out"
        )


def _is_checkpoint(weights: Path | None) -> bool:
    from reid_gen.body.checkpoints import SUFFIXES

    return weights is not None and weights.suffix in SUFFIXES


def _recovery(
    weights: Path | None, folder: Path | None, model: BodyModel, paths: Mapping[str, Path]
) -> Recovery:
    from reid_gen.body.checkpoints import CheckpointRecovery
    from reid_gen.body.foreign import ForeignFiles
    from reid_gen.body.recover import MeshRecovery

    if folder is not None:
        return ForeignFiles(folder, paths, model)
    if weights is not None and _is_checkpoint(weights):
        return CheckpointRecovery(weights, model)
    return MeshRecovery(weights)


def _share(text: str) -> tuple[int, int]:
    from reid_gen.errors import UserError

    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(f"--shard {text}: give i/n with i from 1 to n, such as 2/4")
    return int(found[1]) - 1, int(found[2])
