"""``reid-gen zoo``."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.group()
def zoo() -> None:
    """Encoders that were trained before, here or elsewhere."""


@zoo.command("import")
@click.argument("file", type=PATH)
@click.option("--out", type=PATH, required=True, help="Checkpoint folder to make.")
@click.option("--height", type=int, default=256, show_default=True, help="It was trained with.")
@click.option("--width", type=int, default=128, show_default=True, help="It was trained with.")
@click.option("--force", is_flag=True, help="Overwrite the folder.")
def import_(file: Path, out: Path, height: int, width: int, force: bool) -> None:
    """Read the checkpoint of another toolbox into a folder that all commands take as a model.

    Residual networks of fast-reid, torchreid, SpCL, Cluster Contrast, OpenUnReID, TransReID-SSL and
    the strong baseline, recognised by the names of their weights.

    Example: reid-gen zoo import model_best.pth.tar --out models/cluster_contrast
    """
    import hashlib

    from reid_gen.engine.checkpoint import save_checkpoint
    from reid_gen.files import refuse_existing
    from reid_gen.models.foreign import import_encoder

    refuse_existing(out, force)
    found = import_encoder(file, height, width)
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
