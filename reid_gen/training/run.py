"""Start and resume a training run: epochs, evaluation, metrics log and checkpoints."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

from reid_gen import __version__
from reid_gen.errors import OtherProcessError, UserError
from reid_gen.files import write_bytes, write_json
from reid_gen.models.checkpoint import EMA_ENCODER, load_networks, read_card, save_checkpoint
from reid_gen.models.weight_files import ENCODER_FILE, LAST_FOLDER, checkpoint_folder
from reid_gen.runtime.memory import memory_errors
from reid_gen.training.experiment import Experiment
from reid_gen.training.memory_advice import memory_advice
from reid_gen.training.metrics_log import METRICS, MetricsLog
from reid_gen.training.profile import FOLDER, Profile
from reid_gen.training.resume import load_optimizers, load_resume, refuse_other_run, restore_last
from reid_gen.training.run_folder import CONFIG, locked, make_run, remove_run
from reid_gen.training.stages import EpochPosition, epochs_of
from reid_gen.training.trainer import Epoch, Record


def start_run(experiment: Experiment, run: Path, config_text: str) -> None:
    """Start a run in a new run folder.

    Args:
        experiment: Experiment to run.
        run: Run folder, which must not exist yet.
        config_text: Resolved settings as YAML.

    Raises:
        UserError: If the folder exists or cannot be written, or training cannot continue. A run
            that fails in its first epoch leaves no folder.
    """
    runtime, metrics = experiment.trainer.runtime, None
    with ExitStack() as stack:
        with runtime.together():
            if runtime.is_main:
                metrics = stack.enter_context(_new_folder(experiment, run, config_text))
        scores = _scores(experiment)
        with runtime.together():
            if metrics is not None:
                metrics.write(0, scores)
                _save(experiment, run, 0, scores, None, metrics.text)
        _train(experiment, run, 0, metrics)


@contextmanager
def _new_folder(experiment: Experiment, run: Path, config_text: str) -> Iterator[MetricsLog]:
    """Create the run folder; remove it on an error that leaves nothing to resume."""
    make_run(run)
    with locked(run, experiment.trainer.progress.log) as is_ours:
        try:
            write_bytes(run / CONFIG, config_text.encode())
            processes = experiment.trainer.runtime.processes
            write_json(run / "environment.json", environment() | {"processes": processes})
            with MetricsLog(run) as metrics:
                yield metrics
        except BaseException as error:
            min_epochs = 1 if isinstance(error, UserError) else 0
            if is_ours() and _saved_epochs(run) < min_epochs:
                remove_run(run)
            raise


def _saved_epochs(run: Path) -> int:
    """Complete epochs in the checkpoint of a run; -1 without a checkpoint."""
    try:
        folder = checkpoint_folder(run)  # the previous one if the last is just being replaced
    except UserError:
        return -1
    return int(read_card(folder)["epochs"])


def resume_run(experiment: Experiment, run: Path) -> None:
    """Resume a run after its last complete epoch, bit-identical to an uninterrupted run.

    Args:
        experiment: Experiment with the settings of the run.
        run: Run folder.

    Raises:
        UserError: If the run holds nothing to resume, another process writes into it, or its
            settings or data have changed since it was started.
    """
    runtime, log = experiment.trainer.runtime, experiment.trainer.progress.log
    with ExitStack() as stack:
        state, metrics = None, None
        with runtime.together():
            if runtime.is_main:
                stack.enter_context(locked(run, log))
                state = restore_last(run, log)
                refuse_other_run(run, state["facts"], experiment.facts, log)
        with runtime.together():
            # The other processes read what the main process has repaired.
            state = state or load_resume(run / LAST_FOLDER)
            load_networks(run / LAST_FOLDER, _networks(experiment))
            load_optimizers(_optimizers(experiment), state["optimizers"], run)
            if runtime.is_main:
                metrics = stack.enter_context(_resume_metrics(run, state, log))
        _train(experiment, run, state["epoch"], metrics)


def _resume_metrics(run: Path, state: Mapping[str, Any], log: Callable[[str], None]) -> MetricsLog:
    """Open the metrics log of a resumed run with the records that its checkpoint holds."""
    file, text = run / METRICS, state["journal"]
    if not file.is_file() or not file.read_bytes().startswith(text.encode()):
        log(f"{file} was missing or damaged; rewriting it from the checkpoint")
    return MetricsLog(run, text, state["epoch"] + 1)


def _train(experiment: Experiment, run: Path, start: int, metrics: MetricsLog | None) -> None:
    """Train the epochs from number ``start`` on; only the main process has a log and writes."""
    trainer = experiment.trainer
    if trainer.runtime.processes > 1:
        trainer.progress.log(f"training in {trainer.runtime.processes} processes")
    remaining = list(epochs_of(trainer.stages, start))
    for position in remaining:
        with _say_how_to_resume(run, position.total):
            _epoch(experiment, run, position, position is remaining[-1], metrics)
    if metrics is not None:
        trainer.progress.log(f"done: {run / LAST_FOLDER / ENCODER_FILE}")


def _epoch(
    experiment: Experiment,
    run: Path,
    position: EpochPosition,
    is_last: bool,
    metrics: MetricsLog | None,
) -> None:
    """Train an epoch, evaluate if it is due, log and save."""
    trainer, started = experiment.trainer, time.perf_counter()
    stage_number = list(trainer.stages).index(position.stage)
    advice = memory_advice(position.stage, stage_number, experiment.facts)
    with memory_errors(f"a step of epoch {position.number} (stage {position.stage.name})", advice):
        epoch = trainer.epoch(position)
    record = epoch.record
    interval = experiment.evaluate_every
    if is_last or (interval and position.number % interval == 0):
        trained = time.perf_counter()
        record |= _scores(experiment)
        record["seconds_evaluate"] = time.perf_counter() - trained
    record["seconds"] = time.perf_counter() - started
    with trainer.runtime.together():
        if metrics is not None:
            metrics.write(position.number, record)
            sheet = trainer.preview(position.stage)
            if sheet is not None:
                metrics.write_sheet(position.number, sheet)
            _save(experiment, run, position.number, record, epoch, metrics.text)
            trainer.progress.log(_line(position, record))
            if trainer.profile is not None and (table := trainer.profile.write(position, record)):
                trainer.progress.log(table)


@contextmanager
def _say_how_to_resume(run: Path, epochs: int) -> Iterator[None]:
    """Add to an error how many epochs are kept, and how the run goes on after them."""
    try:
        yield
    except OtherProcessError:
        raise
    except UserError as error:
        if not epochs:
            raise
        complete = "epoch 1 is kept" if epochs == 1 else f"epochs 1 to {epochs} are kept"
        raise UserError(
            f"{error}\n{complete}; once this is put right, resume on the same images with: "
            f"reid-gen train --resume {run}"
        ) from error


def _scores(experiment: Experiment) -> Record:
    """Measure mAP and rank-1 in 0..1; empty for a data set without query and gallery."""
    trainer, evaluator = experiment.trainer, experiment.evaluator
    if evaluator is None:
        return {}
    results = trainer.runtime.on_main(lambda: evaluator(trainer.encode))
    scores: Record = {}
    for result in results:
        suffix = "" if result is results[0] else "_reranked"
        scores |= {f"mAP{suffix}": result.mean_ap, f"rank-1{suffix}": result.cmc[1]}
    return scores


def _save(
    experiment: Experiment, run: Path, epochs: int, record: Record, epoch: Epoch | None, text: str
) -> None:
    """Write the checkpoint after an epoch; ``text`` is the metrics log up to it."""
    bank = epoch.bank if epoch else None
    generator = experiment.trainer.generator
    optimizers = _optimizers(experiment)
    save_checkpoint(
        run / LAST_FOLDER,
        networks=_networks(experiment),
        card=experiment.card,
        about={**experiment.about, "epochs": epochs, "metrics": record},
        bank={"features": bank.features, "labels": bank.labels} if bank else {},
        resume={
            "epoch": epochs,
            "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
            "journal": text,
            "facts": experiment.facts,
        },
        save_more=None if generator is None else generator.save,
        keep_old=True,
    )


def profile_run(experiment: Experiment, run: Path) -> None:
    """Profile an epoch of each stage of a run that is then started or resumed."""
    networks = _networks(experiment)
    if experiment.trainer.ema_encoder is not None:
        networks[EMA_ENCODER] = experiment.trainer.ema_encoder.encoder
    experiment.trainer.profile = Profile(run / FOLDER, networks)


def _networks(experiment: Experiment) -> dict[str, nn.Module]:
    """All networks of a run, by the names of their weight files."""
    trainer = experiment.trainer
    networks: dict[str, nn.Module] = {"encoder": trainer.encoder}
    if trainer.ema_encoder is not None:
        networks[EMA_ENCODER] = trainer.ema_encoder
    return networks | {name: entry.network for name, entry in trainer.trainable.items()}


def _optimizers(experiment: Experiment) -> dict[str, torch.optim.Optimizer]:
    trainer = experiment.trainer
    identity = {f"identity_{name}": entry for name, entry in trainer.identity.items()}
    return {name: entry.optimizer for name, entry in {**identity, **trainer.trainable}.items()}


def _line(position: EpochPosition, record: Mapping[str, float | int | str]) -> str:
    """Metrics of an epoch in one line for the terminal."""
    counts = ("clusters", "outliers", "largest_cluster")
    words = [f"epoch {position.number}"]
    words += [f"{name} {record[name]}" for name in counts if name in record]
    words += [f"{name} {value:.3f}" for name, value in record.items() if name.startswith("loss_")]
    words += [f"{name} {record[name]:.3f}" for name in ("nmi", "ari", "purity") if name in record]
    words += [f"{n} {100 * float(record[n]):.1f}" for n in ("mAP", "rank-1") if n in record]
    return "  ".join([*words, f"{record['seconds']:.0f} s"])


def environment() -> dict[str, str | int]:
    """Versions of packages and facts of the machine, for ``environment.json``."""
    return {
        "reid_gen": __version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "timm": timm.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor_cores": os.cpu_count() or 0,
        "torch_threads": torch.get_num_threads(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
