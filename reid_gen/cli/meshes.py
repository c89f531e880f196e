"""``reid-gen meshes``."""

from __future__ import annotations

import re
from pathlib import Path

import click


@click.command()
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path), required=True, help="Where the data lie.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for the tables."
)
@click.option("--weights", type=click.Path(path_type=Path), required=True, help="Mesh regressor.")
@click.option("--shard", default="1/1", show_default=True, help="Do the i-th of n shares.")
@click.option(
    "--sheet", type=click.Path(path_type=Path), help="Draw some bodies into a .png or .jpg."
)
@click.option("--workers", type=int, default=2, show_default=True, help="Decoding threads.")
def meshes(
    name: str,
    root: Path,
    out: Path,
    weights: Path,
    shard: str,
    sheet: Path | None,
    workers: int,
) -> None:
    """Estimate a 3-D body for every image of data set NAME; a killed run goes on where it was."""
    from reid_gen.body.recover import MeshRecovery
    from reid_gen.body.table import load_table
    from reid_gen.data.datasets import load_dataset
    from reid_gen.engine.meshes import LISTED, LOW, list_low, recover_split, splits_of
    from reid_gen.engine.progress import Terminal

    share = _share(shard)
    dataset = load_dataset(name, root)
    recovery = MeshRecovery(weights)
    splits = splits_of(dataset)
    whole = [
        recover_split(
            images, out / f"{split}.npz", recovery, recovery.source,
            shard=share, workers=workers, progress=Terminal(),
        )
        for split, images in splits.items()
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
        from reid_gen.report.bodies import bodies_sheet
        from reid_gen.report.sheets import save_picture

        save_picture(bodies_sheet(splits["train"], tables["train"]), sheet)


def _share(text: str) -> tuple[int, int]:
    from reid_gen.errors import UserError

    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(f"--shard {text}: give i/n with i from 1 to n, such as 2/4")
    return int(found[1]) - 1, int(found[2])
