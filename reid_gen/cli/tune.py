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
    SEED_RANGE,
    Number,
)

TUNE = "reid-gen tune"
LEARNT = Output(folder=True, maker=TUNE)
RANK = 32
"""Of the adaptation (OnePoseTrans)."""


@click.command(cls=Command)
@click.argument("file", type=INPUT)
@click.argument("images", type=IMAGES, nargs=-1, required=True)
@click.option("--out", type=LEARNT, required=True, help="Folder for what is learnt.")
@click.option("--prompt", help="What the person of IMAGES is called: fits a low-rank adaptation.")
@click.option("--identity", type=MODEL_PATH, metavar="RUN", help="Learns to read its features.")
@click.option("--steps", type=COUNT_RANGE, default=60, show_default=True)
@click.option("--batch", type=BATCH_RANGE, default=2, show_default=True)
@click.option(
    "--rank",
    type=click.IntRange(1, 1_024),
    show_default=str(RANK),
    help="Of the adaptation, with --prompt.",
)
@click.option(
    "--rate",
    type=Number(0, 1, min_open=True),
    default=1e-3,
    show_default=True,
    help="Learning rate.",
)
@click.option("--seed", type=SEED_RANGE, default=1, show_default=True)
@FORCE
def tune(
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
    """Fit the base of FILE's public diffusion model to crops: folders, files or globs.

    With --prompt to one person, such as a tracklet (give the folder as model.lora); with --identity
    to many, after which a re-ID feature stands for the prompt (give the folder as identity).

    Example: reid-gen tune configs/pipelines/genpoccl_market.yaml tracklet/ --prompt "sks man" --out
    lora
    """
    if (prompt is None) == (identity is None):
        raise click.UsageError("give either --prompt or --identity")
    if identity is not None and rank is not None:
        raise click.UsageError(
            f"--rank {rank} has no effect with --identity, which learns one whole layer; leave it "
            "out, or give --prompt"
        )

    from reid_gen.config.load import load_settings
    from reid_gen.config.pipelines import Groups
    from reid_gen.data.find_images import find_images
    from reid_gen.extras import need
    from reid_gen.runtime.progress import Terminal

    model, found = load_settings(file, Groups).model, find_images(images)
    need("tuning", "transformers", "peft", "diffusers")

    from reid_gen.files import written_aside
    from reid_gen.generators.stable_diffusion.finetune import (
        Tuning,
        load_base,
        tune_identity,
        tune_lora,
    )
    from reid_gen.inference.reference_encoder import load_judge
    from reid_gen.runtime.devices import Runtime

    runtime = Runtime("fp32")
    judge = None if identity is None else load_judge(identity, runtime)
    size = model.height, model.width
    base = load_base(model.family, model.base, *size, model.precision, runtime.device)
    tuning = Tuning(steps, batch, rate, RANK if rank is None else rank, seed)
    with written_aside(out, maker=TUNE) as aside, Terminal().task("tune", steps) as advance:
        if prompt is not None:
            tune_lora(base, found, prompt, tuning, aside, advance)
        elif judge is not None:
            tune_identity(base, found, *judge, tuning, aside, advance)
    click.echo(f"tuned to {len(found)} crops: {out}")
