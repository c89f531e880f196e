"""``reid-gen tune``."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=PATH)
@click.argument("images", nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="Folder for what is learnt.")
@click.option("--prompt", help="What the person of IMAGES is called: fits a low-rank adaptation.")
@click.option("--identity", type=PATH, metavar="RUN", help="Learns to read this run's features.")
@click.option("--steps", type=click.IntRange(1), default=60, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--rank", type=click.IntRange(1), default=32, show_default=True, help="With --prompt."
)
@click.option("--rate", type=float, default=1e-3, show_default=True, help="Learning rate.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--force", is_flag=True, help="Overwrite the folder.")
def tune(
    file: Path,
    images: tuple[str, ...],
    out: Path,
    prompt: str | None,
    identity: Path | None,
    steps: int,
    batch: int,
    rank: int,
    rate: float,
    seed: int,
    force: bool,
) -> None:
    """Fit the public diffusion model of FILE to crops: folders, files or globs.

    With --prompt to one person, such as a tracklet (give the folder as model.lora); with --identity
    to many, after which a re-ID feature stands for the prompt (give the folder as identity).

    Example: reid-gen tune configs/pipelines/genpoccl.yaml tracklet/ --prompt "sks man" --out lora
    """
    from reid_gen.config.load import load_settings
    from reid_gen.config.pipelines import Groups
    from reid_gen.engine.build_pipeline import build_painter
    from reid_gen.engine.extract import find_images
    from reid_gen.engine.judge import load_judge
    from reid_gen.engine.progress import Terminal
    from reid_gen.engine.runtime import Runtime
    from reid_gen.errors import UserError
    from reid_gen.files import refuse_existing
    from reid_gen.generators.diffusion.tune import Tuning, tune_identity, tune_lora

    if (prompt is None) == (identity is None):
        raise UserError("give either --prompt or --identity")
    refuse_existing(out, force)
    runtime, found = Runtime("fp32"), find_images(images)
    painter = build_painter(load_settings(file, Groups).model, runtime.device)
    tuning = Tuning(steps, batch, rate, rank, seed)
    with Terminal().task("tune", steps) as advance:
        if prompt is not None:
            tune_lora(painter, found, prompt, tuning, out, advance)
        elif identity is not None:
            encode, size = load_judge(identity, runtime)
            tune_identity(painter, found, encode, size, tuning, out, advance)
    click.echo(f"tuned to {len(found)} crops: {out}")
