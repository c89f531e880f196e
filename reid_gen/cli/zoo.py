"""``reid-gen zoo``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from reid_gen.cli.command import Group, Output
from reid_gen.cli.options import (
    BATCH_RANGE,
    FLIP,
    FORCE,
    INPUT,
    JSON,
    KEEP_SAME_IMAGE,
    MODEL_PATH,
    SIDE_RANGE,
    THREAD_RANGE,
)
from reid_gen.cli.results import Results

if TYPE_CHECKING:
    from reid_gen.models.encoder import EncoderCard, FeatureExtractor
    from reid_gen.models.foreign import ImportedEncoder
    from reid_gen.zoo.cards import Card

IMPORT = "reid-gen zoo import"
IMPORTED_FOLDER = Output(folder=True, command=IMPORT)
Function = TypeVar("Function", bound=Callable[..., object])


@click.group(cls=Group)
def zoo() -> None:
    """List, evaluate and import pretrained encoders."""


@zoo.command("list")
@JSON
@FORCE
def list_(output: Path | None) -> None:
    """List encoders with their mAP / rank-1 in percent, measured here.

    Example: reid-gen zoo list
    """
    from reid_gen.text_table import aligned
    from reid_gen.zoo.cards import TITLES, load_cards

    results = Results(output)
    cards = load_cards()
    results.write_json([card.model_dump(mode="json", by_alias=True) for card in cards])
    measured = {name: title for name, title in TITLES.items() if any(c.on(name) for c in cards)}
    rows = [
        (
            card.name,
            *(_map_and_rank1(card, dataset) for dataset in measured),
            "in the package" if card.weights.source == "package" else "not distributed",
        )
        for card in cards
    ]
    results.echo(aligned(("mAP / rank-1", *measured.values(), "weights"), rows))


def _map_and_rank1(card: Card, dataset: str) -> str:
    scores = card.on(dataset)
    return "" if scores is None else f"{scores.m_ap:.1f} / {scores.rank1:.1f}"


@zoo.command()
@click.argument("name")
@JSON
@FORCE
def show(name: str, output: Path | None) -> None:
    """Show the card of encoder NAME.

    Example: reid-gen zoo show resnet10t.rendered
    """
    from reid_gen.zoo.cards import find_card, load_cards

    results = Results(output)
    card = find_card(name, load_cards()).model_dump(mode="json", by_alias=True, exclude_none=True)
    results.write_json(card)
    measurements = card.pop("measured")
    for key, value in card.items():
        results.echo(f"{key}: {value}")
    for measurement in measurements:
        scores = ", ".join(f"{key} {value}" for key, value in measurement.items())
        results.echo(f"measured: {scores}")


def _foreign_options(function: Function) -> Function:
    """Add the options that describe the input of another toolbox's checkpoint."""
    for option in (
        click.option(
            "--colours",
            type=click.Choice(["imagenet", "half"]),
            help="Input normalisation of another toolbox's checkpoint: ImageNet mean and standard "
            "deviation, or 0.5 (default: that of the backbone's public weights).",
        ),
        click.option(
            "--width",
            type=SIDE_RANGE,
            help="Input width in pixels of another toolbox's checkpoint (default: 128).",
        ),
        click.option(
            "--height",
            type=SIDE_RANGE,
            help="Input height in pixels of another toolbox's checkpoint (default: 256).",
        ),
    ):
        function = option(function)
    return function


@zoo.command()
@click.argument("model", type=MODEL_PATH)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    required=True,
    help="Name of a data set, such as market1501; may be repeated.",
)
@click.option("--root", type=INPUT, required=True, help="Folder that contains the data sets.")
@_foreign_options
@click.option(
    "--batch", type=BATCH_RANGE, default=128, show_default=True, help="Images per forward pass."
)
@click.option(
    "--workers", type=THREAD_RANGE, default=2, show_default=True, help="Image decoding threads."
)
@FLIP
@click.option("--rerank", is_flag=True, help="Add results with k-reciprocal re-ranking.")
@KEEP_SAME_IMAGE
@JSON
@FORCE
def evaluate(
    *,
    model: Path,
    datasets: tuple[str, ...],
    root: Path,
    height: int | None,
    width: int | None,
    colours: str | None,
    batch: int,
    workers: int,
    flip: bool,
    rerank: bool,
    keep_same_image: bool,
    output: Path | None,
) -> None:
    """Evaluate MODEL on data sets.

    MODEL is a run, a model zoo name, an imported or exported encoder, or a checkpoint of another
    toolbox (.pth, .pth.tar, .pt, .bin, .safetensors), which is read as by `reid-gen zoo import`.

    Example: reid-gen zoo evaluate resnet10t.rendered --dataset market1501 --root data
    """
    from reid_gen.data.datasets import labelled_splits, load_dataset
    from reid_gen.data.loaders import ImageLoader
    from reid_gen.runtime.progress import Terminal

    results = Results(output)
    splits = {name: labelled_splits(load_dataset(name, root)) for name in datasets}

    from reid_gen.evaluation.evaluator import Evaluator
    from reid_gen.evaluation.tables import results_table

    encode, card = _open(model, height, width, colours)
    content = []
    for name, (query, gallery) in splits.items():
        evaluator = Evaluator(
            query,
            gallery,
            lambda split: ImageLoader(split.images, card.height, card.width, workers),
            batch,
            flip,
            rerank,
            Terminal(),
            keep_same_image,
        )
        rankings = evaluator(encode)
        results.echo(f"{name}\n{results_table(rankings)}")
        content += [{"dataset": name, **ranking.as_dict()} for ranking in rankings]
    results.write_json(content)


def _open(
    model: Path, height: int | None, width: int | None, colours: str | None
) -> tuple[FeatureExtractor, EncoderCard]:
    """Load an encoder of this or another toolbox, and its card."""
    from reid_gen.inference.reid_model import open_encoder
    from reid_gen.models.foreign import import_encoder
    from reid_gen.models.weight_files import is_foreign
    from reid_gen.runtime.devices import Runtime

    if is_foreign(model):
        imported = import_encoder(model, height, width, colours)
        click.echo(_describe_import(imported), err=True)
        return Runtime("fp32").encoder(imported.encoder), imported.card
    if (height, width, colours) != (None, None, None):
        raise click.UsageError(
            "--height, --width and --colours are for checkpoints of other toolboxes, and have no "
            f"effect on {model}; leave them out"
        )
    return open_encoder(model, "fp32")


def _describe_import(imported: ImportedEncoder) -> str:
    from reid_gen.errors import join_some

    architecture = f"{imported.layout}: {imported.card.backbone}, {imported.card.pooling} pooling"
    dropped = f": {join_some(imported.dropped)}" if imported.dropped else ""
    counts = f"loaded {imported.loaded} tensors, ignored {len(imported.dropped)}"
    return f"{architecture}; {counts}{dropped}"


@zoo.command()
@JSON
@FORCE
def verify(output: Path | None) -> None:
    """Verify that the built-in encoders match their cards and load.

    Example: reid-gen zoo verify
    """
    from reid_gen.errors import UserError
    from reid_gen.zoo.cards import load_cards
    from reid_gen.zoo.verify import verify_weights

    results = Results(output)
    cards = load_cards()
    errors = {card.name: verify_weights(card) for card in cards if card.weights.source == "package"}
    for card in cards:
        absent = "no weights to verify: not distributed"
        verdict = (errors[card.name] or "matches its card") if card.name in errors else absent
        results.echo(f"{card.name}: {verdict}")
    results.write_json(errors)
    differing = [name for name, error in errors.items() if error is not None]
    if differing:
        raise UserError(f"{', '.join(differing)} differ from their cards; reinstall reid-gen")


@zoo.command("import")
@click.argument("file", type=INPUT)
@click.option("--out", type=IMPORTED_FOLDER, required=True, help="Checkpoint folder to write.")
@_foreign_options
@FORCE
def import_(
    file: Path,
    out: Path,
    height: int | None,
    width: int | None,
    colours: str | None,
) -> None:
    """Import a checkpoint of another toolbox.

    Writes a checkpoint folder that all commands accept as a model. FILE ends in .pth, .pt, .bin,
    .ckpt, .tar or .safetensors; it is loaded without executing any code in it. --force replaces
    only folders that this command wrote.

    Supported are ResNet-18 and -50, plain or IBN-a, of fast-reid, torchreid, SpCL, Cluster
    Contrast, OpenUnReID, TransReID-SSL, GCL and the strong baseline, torchreid's OSNets, and ViT-S
    of TransReID-SSL, recognised by the names of their weights; also backbones of DINO, MoCo
    (LUPerson) and torchvision without their heads.

    Example: reid-gen zoo import model_best.pth.tar --out models/cluster_contrast
    """
    import hashlib

    from reid_gen.files import written_aside
    from reid_gen.models.checkpoint import save_checkpoint
    from reid_gen.models.foreign import import_encoder

    imported = import_encoder(file, height, width, colours)
    source = {
        "file": file.name,
        "toolbox": imported.layout,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    with written_aside(out, command=IMPORT) as aside:
        save_checkpoint(
            aside,
            networks={"encoder": imported.encoder},
            card=imported.card,
            about={"source": source},
            bank={},
            resume={},
        )
    click.echo(f"{_describe_import(imported)}\nwrote {out}")
