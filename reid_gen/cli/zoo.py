"""``reid-gen zoo``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from reid_gen.zoo.cards import Card

PATH = click.Path(path_type=Path)
JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")


@click.group()
def zoo() -> None:
    """Encoders that were trained before, here or elsewhere."""


@zoo.command("list")
@JSON
def list_(as_json: bool) -> None:
    """List encoders with what was measured here: mAP / rank-1 in percent.

    Example: reid-gen zoo list
    """
    from reid_gen.zoo.cards import DATASETS, load_cards

    cards = load_cards()
    if as_json:
        click.echo(json.dumps([card.model_dump(mode="json", by_alias=True) for card in cards]))
        return
    click.echo(f"{'':<36}" + "".join(f"{title:>16}" for title in DATASETS.values()))
    for card in cards:
        scores = "".join(f"{_pair(card, dataset):>16}" for dataset in DATASETS)
        where = "in the package" if card.weights.source == "package" else "not passed on"
        click.echo(f"{card.name:<36}{scores}  {where}")


def _pair(card: Card, dataset: str) -> str:
    found = card.on(dataset)
    return "" if found is None else f"{found.m_ap:.1f} / {found.rank1:.1f}"


@zoo.command()
@click.argument("name")
@JSON
def show(name: str, as_json: bool) -> None:
    """Show all that is known of the encoder NAME.

    Example: reid-gen zoo show resnet10t.rendered
    """
    from reid_gen.zoo.cards import find_card, load_cards

    told = find_card(name, load_cards()).model_dump(mode="json", by_alias=True, exclude_none=True)
    if as_json:
        click.echo(json.dumps(told))
        return
    measured = told.pop("measured")
    for key, value in told.items():
        click.echo(f"{key}: {value}")
    for one in measured:
        click.echo("measured: " + ", ".join(f"{key} {value}" for key, value in one.items()))


@zoo.command()
@click.argument("model", type=PATH)
@click.option("--dataset", required=True, help="market1501, dukemtmcreid, msmt17 and so on.")
@click.option("--root", type=PATH, required=True, help="Folder that holds it.")
@click.option("--batch", type=click.IntRange(1), default=128, show_default=True, help="Per pass.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Threads.")
@click.option("--flip", is_flag=True, help="Average features with those of the mirrored image.")
@click.option("--rerank", is_flag=True, help="Measure k-reciprocal re-ranking too.")
@click.option("--json", "output", type=PATH, help="Write the results here.")
@click.option("--force", is_flag=True, help="Overwrite the output.")
def evaluate(
    model: Path,
    dataset: str,
    root: Path,
    batch: int,
    workers: int,
    flip: bool,
    rerank: bool,
    output: Path | None,
    force: bool,
) -> None:
    """Measure MODEL on a data set: a name of the zoo, an imported or exported encoder, a run.

    Example: reid-gen zoo evaluate resnet10t.rendered --dataset market1501 --root data
    """
    from reid_gen.data.datasets import load_dataset
    from reid_gen.data.loaders import ImageLoader
    from reid_gen.engine.evaluate import Evaluator, labelled_splits
    from reid_gen.engine.progress import Terminal
    from reid_gen.engine.reid_model import open_encoder
    from reid_gen.evaluation.tables import results_table
    from reid_gen.files import refuse_existing, write_json

    refuse_existing(output, force)
    encode, card = open_encoder(model, "fp32")
    query, gallery = labelled_splits(load_dataset(dataset, root))
    evaluator = Evaluator(
        query,
        gallery,
        lambda split: ImageLoader(split.images, card.height, card.width, workers),
        batch,
        flip,
        rerank,
        Terminal(),
    )
    results = evaluator(encode)
    click.echo(results_table(results))
    if output is not None:
        write_json(output, [result.as_dict() for result in results])


@zoo.command()
def verify() -> None:
    """Check the encoders that come with the program: size, checksum, and that they load.

    Example: reid-gen zoo verify
    """
    from reid_gen.errors import UserError
    from reid_gen.zoo.cards import load_cards
    from reid_gen.zoo.verify import fault_of

    faults = []
    for card in load_cards():
        fault = fault_of(card)
        click.echo(f"{card.name}: {fault or 'as its card says'}")
        if fault is not None:
            faults.append(card.name)
    if faults:
        raise UserError(f"{', '.join(faults)} differ from their cards; install the program again")


@zoo.command("import")
@click.argument("file", type=PATH)
@click.option("--out", type=PATH, required=True, help="Checkpoint folder to make.")
@click.option("--height", type=int, default=256, show_default=True, help="It was trained with.")
@click.option("--width", type=int, default=128, show_default=True, help="It was trained with.")
@click.option(
    "--colours",
    type=click.Choice(["imagenet", "half"]),
    help="How its images were normalised; by default as its backbone's public weights want it.",
)
@click.option("--force", is_flag=True, help="Overwrite the folder.")
def import_(
    file: Path, out: Path, height: int, width: int, colours: str | None, force: bool
) -> None:
    """Read the checkpoint of another toolbox into a folder that all commands take as a model.

    ResNet-18 and -50 of fast-reid, torchreid, SpCL, Cluster Contrast, OpenUnReID, TransReID-SSL,
    GCL and the strong baseline, torchreid's OSNets, and ViT-S of TransReID-SSL, recognised by the
    names of their weights.

    Example: reid-gen zoo import model_best.pth.tar --out models/cluster_contrast
    """
    import hashlib

    from reid_gen.engine.checkpoint import save_checkpoint
    from reid_gen.files import refuse_existing
    from reid_gen.models.foreign import import_encoder

    refuse_existing(out, force)
    found = import_encoder(file, height, width, colours)
    save_checkpoint(
        out,
        networks={"encoder": found.encoder},
        card=found.card,
        about={
            "source": {
                "file": file.name,
                "toolbox": found.layout,
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
        },
        bank={},
        resume={},
    )
    click.echo(
        f"{found.layout}: {found.card.backbone}, {found.card.pooling} pooling; read "
        f"{found.loaded} tensors, left out {len(found.dropped)} (classifier and such): {out}"
    )
