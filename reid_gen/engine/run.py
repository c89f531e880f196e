"""A run from its first to its last epoch, and its folder."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import timm
import torch
from torch import nn

from reid_gen import __version__
from reid_gen.engine.build import Experiment
from reid_gen.engine.checkpoint import (
    LAST,
    MEAN,
    load_networks,
    load_resume,
    save_checkpoint,
)
from reid_gen.engine.journal import Journal
from reid_gen.engine.loop import Epoch, Record
from reid_gen.engine.stages import Place, places
from reid_gen.errors import UserError
from reid_gen.files import cannot_write
from reid_gen.models.weights import ENCODER

CONFIG = "config.yaml"


def start_run(experiment: Experiment, run: Path, config_text: str) -> None:
    """Train from the beginning in a new run folder.

    Args:
        experiment: What to train.
        run: The folder; must not exist yet.
        config_text: The resolved settings.

    Raises:
        UserError: If the folder exists or cannot be written, or training cannot go on. A run that
            fails before its first epoch is complete leaves no folder.
    """
    if run.exists():
        raise UserError(
            f"{run} exists; choose another name, resume it with --resume {run}, or remove it"
        )
    before = _scores(experiment)
    is_main = experiment.trainer.runtime.is_main
    try:
        if is_main:
            _make_folder(run, config_text)
            with Journal(run) as journal:
                journal.write(-1, before)
            _save(experiment, run, 0, before, None)
        _train(experiment, run, 0)
    except UserError:
        if is_main and load_epoch(run) == 0:
            shutil.rmtree(run, ignore_errors=True)
        raise


def _make_folder(run: Path, config_text: str) -> None:
    try:
        run.mkdir(parents=True)
        (run / CONFIG).write_text(config_text, encoding="utf-8")
        (run / "environment.json").write_text(json.dumps(environment(), indent=2) + "\n")
    except OSError as error:
        raise cannot_write(run, error) from error


def resume_run(experiment: Experiment, run: Path) -> None:
    """Go on after the last complete epoch of a run, bit for bit as if it had not stopped.

    Raises:
        UserError: If the run holds nothing to resume, or its data set changed.
    """
    folder = run / LAST
    state = load_resume(folder)
    if state["data"] != experiment.about["data"]["sha256"]:
        raise UserError(
            f"the training images are not those that {run} was started with; "
            "restore the data set, or start a new run"
        )
    load_networks(folder, _networks(experiment))
    for name, optimizer in _optimizers(experiment).items():
        optimizer.load_state_dict(state["optimizers"][name])
    _train(experiment, run, int(state["epoch"]))


def load_epoch(run: Path) -> int:
    """Number of complete epochs of a run; 0 if there is no checkpoint."""
    try:
        return int(load_resume(run / LAST)["epoch"])
    except UserError:
        return 0


def _train(experiment: Experiment, run: Path, start: int) -> None:
    trainer = experiment.trainer
    is_main = trainer.runtime.is_main
    remaining = list(places(trainer.stages, start))
    with Journal(run, start) if is_main else nullcontext() as journal:
        for place in remaining:
            began = time.perf_counter()
            epoch = trainer.epoch(place)
            record = epoch.record
            every = experiment.evaluate_every
            if place is remaining[-1] or (every and (place.total + 1) % every == 0):
                record |= _scores(experiment)
            record["seconds"] = time.perf_counter() - began
            if journal is not None:
                journal.write(place.total, record)
                sheet = trainer.show(trainer.stages[place.stage])
                if sheet is not None:
                    journal.show(place.total, sheet)
                _save(experiment, run, place.total + 1, record, epoch)
                trainer.progress.say(_line(place, record))
    if is_main:
        trainer.progress.say(f"done: {run / LAST / ENCODER}")


def _scores(experiment: Experiment) -> Record:
    """MAP and CMC in 0..1; nothing for an unlabelled folder."""
    runtime = experiment.trainer.runtime
    if experiment.evaluator is None:
        return {}
    results = runtime.from_main(
        experiment.evaluator(experiment.trainer.encode) if runtime.is_main else ()
    )
    scores: Record = {}
    for result in results:
        suffix = "" if result is results[0] else "_reranked"
        scores |= {f"mAP{suffix}": result.mean_ap, f"rank1{suffix}": result.cmc[1]}
    return scores


def _save(
    experiment: Experiment, run: Path, epochs: int, record: Record, epoch: Epoch | None
) -> None:
    bank = epoch.bank if epoch else None
    generator = experiment.trainer.generator
    save_checkpoint(
        run / LAST,
        networks=_networks(experiment),
        card=experiment.card,
        about={**experiment.about, "epochs": epochs, "metrics": record},
        bank={"features": bank.features, "labels": bank.labels} if bank else {},
        resume={
            "epoch": epochs,
            "optimizers": {
                name: optimizer.state_dict() for name, optimizer in _optimizers(experiment).items()
            },
            "data": experiment.about["data"]["sha256"],
        },
        save_more=None if generator is None else generator.save,
    )


def _networks(experiment: Experiment) -> dict[str, nn.Module]:
    """All networks of a run, by the names of their files."""
    trainer = experiment.trainer
    found: dict[str, nn.Module] = {"encoder": trainer.encoder}
    if trainer.mean is not None:
        found[MEAN] = trainer.mean
    return found | {name: learner.network for name, learner in trainer.learners.items()}


def _optimizers(experiment: Experiment) -> dict[str, torch.optim.Optimizer]:
    trainer = experiment.trainer
    identity = {f"identity_{kind}": learner for kind, learner in trainer.identity.items()}
    return {name: made.optimizer for name, made in {**identity, **trainer.learners}.items()}


def _line(place: Place, record: Mapping[str, float | int | str]) -> str:
    """One line per epoch, for people."""
    counts = ("clusters", "outliers", "largest_cluster")
    words = [f"epoch {place.total + 1}"]
    words += [f"{name} {record[name]}" for name in counts if name in record]
    words += [f"{name} {value:.3f}" for name, value in record.items() if name.startswith("loss_")]
    words += [f"{name} {record[name]:.3f}" for name in ("nmi", "ari", "purity") if name in record]
    words += [f"{n} {100 * float(record[n]):.1f}" for n in ("mAP", "rank1") if n in record]
    return "  ".join([*words, f"{record['seconds']:.0f} s"])


def environment() -> dict[str, str | int]:
    """Versions and machine, for the run folder."""
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
