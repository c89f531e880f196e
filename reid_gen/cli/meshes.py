"""``reid-gen meshes``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_gen.cli.options import JSON, JSON_FORCE, PATH
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.body.model import BodyModel
    from reid_gen.body.recover import Recovery
    from reid_gen.body.table import BodyTable


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
@JSON
@JSON_FORCE
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
    output: Path | None,
    force: bool,
) -> None:
    """Estimate a 3-D body for every image of data set NAME; a killed run goes on where it was.

    Example: reid-gen meshes market1501 --root data --out bodies --sheet bodies.jpg
    """
    from reid_gen.body.evidence import EvidenceFiles
    from reid_gen.body.model import load_body
    from reid_gen.body.table import load_table
    from reid_gen.data.datasets import load_dataset
    from reid_gen.engine.meshes import Refined, recover_split, splits_of
    from reid_gen.engine.progress import Terminal

    results = Results(output, force)
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
        results.say(f"share {shard} is done; the tables follow when all shares are")
        results.write({"folder": str(out), "whole": False})
        return
    tables = {split: load_table(out / f"{split}.npz") for split in splits}
    _describe(tables, out, results)
    if sheet is not None:
        from reid_gen.data.images import save_picture
        from reid_gen.report.bodies import bodies_sheet

        first = next(iter(splits))
        save_picture(bodies_sheet(splits[first], tables[first], model), sheet)


def _describe(tables: Mapping[str, BodyTable], out: Path, results: Results) -> None:
    """Say how good the bodies are, and list the doubtful ones."""
    from reid_gen.engine.meshes import LISTED, LOW, list_low

    low = list_low(list(tables.values()), out / LISTED)
    means = {split: float(table.score.mean()) for split, table in tables.items()}
    for split, table in tables.items():
        results.say(f"{split}: {len(table.keys):,} bodies, mean score {means[split]:.2f}")
    results.say(f"{low:,} scores are below {LOW}: {out / LISTED}")
    splits = {
        split: {"bodies": len(table.keys), "mean_score": round(means[split], 4)}
        for split, table in tables.items()
    }
    results.write({"folder": str(out), "whole": True, "splits": splits, "low_scores": low})


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
