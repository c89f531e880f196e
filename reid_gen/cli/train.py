"""``reid-gen train``."""

from __future__ import annotations

import io
import os
from contextlib import nullcontext, redirect_stderr
from pathlib import Path

import click

from reid_gen.cli.command import Command
from reid_gen.cli.options import INPUT, SET
from reid_gen.cli.signals import stoppable
from reid_gen.errors import UserError
from reid_gen.extras import install_hint, installed
from reid_gen.models.weight_files import checkpoint_folder


@click.command(cls=Command)
@click.option("--config", type=INPUT, help="Configuration file (YAML).")
@SET
@click.option("--resume", type=INPUT, help="Run folder to resume, with its own configuration.")
@click.option(
    "--profile",
    is_flag=True,
    help="Profile the second epoch of each stage: a table of where its time goes and a trace for "
    "Perfetto, in the run's folder profile/.",
)
def train(
    config: Path | None, overrides: tuple[str, ...], resume: Path | None, profile: bool
) -> None:
    """Train an identity encoder without labels.

    Starts a run from a configuration, or resumes a run.

    Example: reid-gen train --config configs/gcl_market.yaml --set data.root=data
    """
    if (config is None) == (resume is None):
        raise click.UsageError(
            "give either --config FILE to start a run or --resume RUN to resume one"
        )
    if resume is not None and overrides:
        raise click.UsageError("--set cannot change a run that is resumed; start a new run")

    if profile:  # its library, read when torch loads, reports every start and a missing GPU
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")

    from reid_gen.cli.settings import check_paths_exist
    from reid_gen.config.load import load_config
    from reid_gen.training.run_folder import CONFIG, refuse_run

    if resume is not None and not (resume / CONFIG).is_file():
        raise UserError(f"{resume} is not a run folder ({CONFIG} is missing); give runs/NAME")
    settings = load_config(resume / CONFIG if resume else Path(str(config)), overrides)
    check_paths_exist(settings)
    run = resume or settings.runs / settings.name
    if resume is None:
        refuse_run(run)

    from reid_gen.builders.experiment import build_experiment
    from reid_gen.config.dump import dump_config
    from reid_gen.runtime.progress import Silent, Terminal
    from reid_gen.training.run import profile_run, resume_run, start_run

    is_main = os.environ.get("RANK", "0") == "0"  # set by torchrun and accelerate launch
    with stoppable(lambda: _last_line(run)) if is_main else nullcontext():
        with nullcontext() if is_main else redirect_stderr(io.StringIO()):
            if not installed("tensorboard"):
                click.echo(
                    "note: TensorBoard is not installed, so metrics go to metrics.jsonl only; "
                    f"{install_hint('tensorboard')}",
                    err=True,
                )
            experiment = build_experiment(settings, Terminal() if is_main else Silent())
        if profile and is_main:
            profile_run(experiment, run)
        if resume is None:
            start_run(experiment, run, dump_config(settings))
        else:
            resume_run(experiment, run)
        experiment.trainer.runtime.close()


def _last_line(run: Path) -> str:
    """What the user is told about a run that a signal has stopped."""
    try:
        checkpoint_folder(run)
    except UserError:
        return "stopped before the first checkpoint, so nothing is kept"
    return f"stopped; resume with: reid-gen train --resume {run}"
