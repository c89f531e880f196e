"""``reid-gen zoo``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from reid_gen.cli.command import Group, Output
from reid_gen.cli.options import (
    BATCH_RANGE,
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
IMPORTED = Output(folder=True, maker=IMPORT)
Command = TypeVar("Command", bound=Callable[..., object])


@click.group(cls=Group)
def zoo() -> None:
    """Encoders that were trained before, here or elsewhere."""


@zoo.command("list")
@JSON
@FORCE
def list_(output: Path | None) -> None:
    """List encoders with what was measured here: mAP / rank-1 in percent.

    Example: reid-gen zoo list
    """
    from reid_gen.text_table import aligned
    from reid_gen.zoo.cards import DATASETS, load_cards

    results = Results(output)
    cards = load_cards()
    results.write([card.model_dump(mode="json", by_alias=True) for card in cards])
    measured = {name: title for name, title in DATASETS.items() if any(c.on(name) for c in cards)}
    rows = [
        (
            card.name,
            *(_pair(card, dataset) for dataset in measured),
            "in the package" if card.weights.source == "package" else "not passed on",
        )
        for card in cards
    ]
    results.say(aligned(("mAP / rank-1", *measured.values(), "weights"), rows))


def _pair(card: Card, dataset: str) -> str:
    found = card.on(dataset)
    return "" if found is None else f"{found.m_ap:.1f} / {found.rank1:.1f}"


@zoo.command()
@click.argument("name")
@JSON
@FORCE
def show(name: str, output: Path | None) -> None:
    """Show all that is known of the encoder NAME.

    Example: reid-gen zoo show resnet10t.rendered
    """
    from reid_gen.zoo.cards import find_card, load_cards

    results = Results(output)
    told = find_card(name, load_cards()).model_dump(mode="json", by_alias=True, exclude_none=True)
    results.write(told)
    measured = told.pop("measured")
    for key, value in told.items():
        results.say(f"{key}: {value}")
    for one in measured:
        results.say("measured: " + ", ".join(f"{key} {value}" for key, value in one.items()))


def _foreign(command: Command) -> Command:
    """Add what has to be said of another toolbox's checkpoint."""
    for option in (
        click.option(
            "--colours",
            type=click.Choice(["imagenet", "half"]),
            help="How the images of another toolbox's checkpoint were normalised; by default as "
            "its backbone's public weights want it.",
        ),
        click.option("--width", type=SIDE_RANGE, help="Columns of these images; 128 by default."),
        click.option(
            "--height",
            type=SIDE_RANGE,
            help="Rows of the images that another toolbox's checkpoint was trained with; 256 by "
            "default.",
        ),
    ):
        command = option(command)
    return command


@zoo.command()
@click.argument("model", type=MODEL_PATH)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    required=True,
    help="market1501, dukemtmcreid, msmt17 and so on; may be given several times.",
)
@click.option("--root", type=INPUT, required=True, help="Folder that holds them.")
@_foreign
@click.option("--batch", type=BATCH_RANGE, default=128, show_default=True, help="Per pass.")
@click.option("--workers", type=THREAD_RANGE, default=2, show_default=True, help="Threads.")
@click.option("--flip", is_flag=True, help="Average features with those of the mirrored image.")
@click.option("--rerank", is_flag=True, help="Measure k-reciprocal re-ranking too.")
@KEEP_SAME_IMAGE
@JSON
@FORCE
def evaluate(
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
    """Measure MODEL on data sets: a run, a name of the zoo, an imported or exported encoder.

    It may also be a checkpoint of another toolbox (.pth, .pth.tar, .pt, .bin, .safetensors), which
    is read as `reid-gen zoo import` reads it.

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
        found = evaluator(encode)
        results.say(f"{name}\n{results_table(found)}")
        content += [{"dataset": name, **result.as_dict()} for result in found]
    results.write(content)


def _open(
    model: Path, height: int | None, width: int | None, colours: str | None
) -> tuple[FeatureExtractor, EncoderCard]:
    """What encodes images, and its card."""
    from reid_gen.inference.reid_model import open_encoder
    from reid_gen.models.foreign import import_encoder
    from reid_gen.models.weight_files import is_foreign
    from reid_gen.runtime.devices import Runtime

    if is_foreign(model):
        found = import_encoder(model, height, width, colours)
        click.echo(_described(found), err=True)
        return Runtime("fp32").encoder(found.encoder), found.card
    if (height, width, colours) != (None, None, None):
        raise click.UsageError(
            "--height, --width and --colours are for checkpoints of other toolboxes, and "
            f"{model} says by itself what it wants; leave them out"
        )
    return open_encoder(model, "fp32")


def _described(found: ImportedEncoder) -> str:
    from reid_gen.errors import join_some

    read = f"{found.layout}: {found.card.backbone}, {found.card.pooling} pooling; read "
    dropped = f": {join_some(found.dropped)}" if found.dropped else ""
    return f"{read}{found.loaded} tensors, left out {len(found.dropped)}{dropped}"


@zoo.command()
@JSON
@FORCE
def verify(output: Path | None) -> None:
    """Check the encoders that come with the program: size, checksum, and that they load.

    Example: reid-gen zoo verify
    """
    from reid_gen.errors import UserError
    from reid_gen.zoo.cards import load_cards
    from reid_gen.zoo.verify import verify_weights

    results = Results(output)
    cards = load_cards()
    faults = {card.name: verify_weights(card) for card in cards if card.weights.source == "package"}
    for card in cards:
        absent = "no weights to verify: they are not passed on"
        verdict = (faults[card.name] or "as its card says") if card.name in faults else absent
        results.say(f"{card.name}: {verdict}")
    results.write(faults)
    differing = [name for name, fault in faults.items() if fault is not None]
    if differing:
        raise UserError(
            f"{', '.join(differing)} differ from their cards; install the program again"
        )


@zoo.command("import")
@click.argument("file", type=INPUT)
@click.option("--out", type=IMPORTED, required=True, help="Checkpoint folder to make.")
@_foreign
@FORCE
def import_(
    file: Path,
    out: Path,
    height: int | None,
    width: int | None,
    colours: str | None,
) -> None:
    """Read the checkpoint of another toolbox into a folder that all commands take as a model.

    FILE ends in .pth, .pt, .bin, .ckpt, .tar or .safetensors; it is read without running any code
    from it. --force replaces a folder that this command made, and no other.

    ResNet-18 and -50, plain or IBN-a, of fast-reid, torchreid, SpCL, Cluster Contrast, OpenUnReID,
    TransReID-SSL, GCL and the strong baseline, torchreid's OSNets, and ViT-S of TransReID-SSL,
    recognised by the names of their weights; backbones of DINO, MoCo (LUPerson) and torchvision
    without their heads.

    Example: reid-gen zoo import model_best.pth.tar --out models/cluster_contrast
    """
    import hashlib

    from reid_gen.files import written_aside
    from reid_gen.models.checkpoint import save_checkpoint
    from reid_gen.models.foreign import import_encoder

    found = import_encoder(file, height, width, colours)
    source = {
        "file": file.name,
        "toolbox": found.layout,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    with written_aside(out, maker=IMPORT) as aside:
        save_checkpoint(
            aside,
            networks={"encoder": found.encoder},
            card=found.card,
            about={"source": source},
            bank={},
            resume={},
        )
    click.echo(f"{_described(found)}\nwrote {out}")
