"""``reid-gen tune``."""

from __future__ import annotations

from pathlib import Path

import click

from reid_gen.cli.command import Command, Output
from reid_gen.cli.options import (
    BATCH_RANGE,
    COUNT_RANGE,
    FORCE,
    IMAGES,
    INPUT,
    MODEL_PATH,
    SEED,
    Number,
)

TUNE = "reid-gen tune"
TUNED_FOLDER = Output(folder=True, command=TUNE)
DEFAULT_RANK = 32
"""LoRA rank of OnePoseTrans."""


@click.command(cls=Command)
@click.argument("file", type=INPUT)
@click.argument("images", type=IMAGES, nargs=-1, required=True)
@click.option("--out", type=TUNED_FOLDER, required=True, help="Folder for the fine-tuned weights.")
@click.option("--prompt", help="Text prompt that names the person of IMAGES, to fine-tune a LoRA.")
@click.option(
    "--identity",
    type=MODEL_PATH,
    metavar="RUN",
    help="Run whose re-ID features are mapped to prompt embeddings.",
)
@click.option(
    "--steps", type=COUNT_RANGE, default=60, show_default=True, help="Optimisation steps."
)
@click.option("--batch", type=BATCH_RANGE, default=2, show_default=True, help="Images per step.")
@click.option(
    "--rank",
    type=click.IntRange(1, 1_024),
    show_default=str(DEFAULT_RANK),
    help="LoRA rank, with --prompt.",
)
@click.option(
    "--rate",
    type=Number(0, 1, min_open=True),
    default=1e-3,
    show_default=True,
    help="Learning rate.",
)
@SEED
@FORCE
def tune(
    *,
    file: Path,
    images: tuple[str, ...],
    out: Path,
    prompt: str | None,
    identity: Path | None,
    steps: int,
    batch: int,
    rank: int | None,
    rate: float,
    seed: int,
) -> None:
    """Fine-tune a public diffusion model on IMAGES.

    FILE is the pipeline file of the model; IMAGES are folders, files, quoted globs or @list.txt.
    --prompt fine-tunes a LoRA on one person, such as a tracklet, for the setting model.lora;
    --identity learns on many people to replace prompts by re-ID features, for the setting identity.

    Example: reid-gen tune configs/pipelines/genpoccl_market.yaml tracklet/ --prompt "sks man" --out
    lora
    """
    if (prompt is None) == (identity is None):
        raise click.UsageError("give either --prompt or --identity")
    if identity is not None and rank is not None:
        raise click.UsageError(
            f"--rank {rank} has no effect with --identity, which trains a full layer; leave it "
            "out, or give --prompt"
        )

    from reid_gen.config.load import load_settings
    from reid_gen.config.pipelines import Groups
    from reid_gen.data.find_images import find_images
    from reid_gen.extras import need
    from reid_gen.runtime.progress import Terminal

    model, crops = load_settings(file, Groups).model, find_images(images)
    need("tuning", "transformers", "peft", "diffusers")

    from reid_gen.files import written_aside
    from reid_gen.generators.stable_diffusion.finetune import (
        Tuning,
        load_base,
        tune_identity,
        tune_lora,
    )
    from reid_gen.inference.reference_encoder import load_reference_encoder
    from reid_gen.runtime.devices import Runtime

    runtime = Runtime("fp32")
    reference = None if identity is None else load_reference_encoder(identity, runtime)
    size = model.height, model.width
    base = load_base(model.family, model.base, *size, model.precision, runtime.device)
    tuning = Tuning(steps, batch, rate, DEFAULT_RANK if rank is None else rank, seed)
    with written_aside(out, command=TUNE) as aside, Terminal().task("tune", steps) as advance:
        if prompt is not None:
            tune_lora(base, crops, prompt, tuning, aside, advance)
        elif reference is not None:
            tune_identity(base, crops, *reference, tuning=tuning, folder=aside, advance=advance)
    click.echo(f"fine-tuned on {len(crops)} images: {out}")
