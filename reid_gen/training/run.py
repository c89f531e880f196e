"""A run from its first to its last epoch, and its folder."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

from reid_gen import __version__
from reid_gen.errors import UserError
from reid_gen.files import write_bytes, write_json
from reid_gen.models.checkpoint import EMA_ENCODER, load_networks, read_card, save_checkpoint
from reid_gen.models.weight_files import ENCODER, LAST
from reid_gen.training.experiment import Experiment
from reid_gen.training.metrics_log import METRICS, Journal
from reid_gen.training.resume import load_optimizers, load_resume, refuse_other_run, restore_last
from reid_gen.training.run_folder import CONFIG, locked, make_run
from reid_gen.training.stages import EpochPosition, places
from reid_gen.training.trainer import Epoch, Record


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
    is_main = experiment.trainer.runtime.is_main
    with _new_folder(experiment, run, config_text) if is_main else nullcontext() as journal:
        before = _scores(experiment)
        if journal is not None:
            journal.write(0, before)
            _save(experiment, run, 0, before, None, journal.text)
        _train(experiment, run, 0, journal)


@contextmanager
def _new_folder(experiment: Experiment, run: Path, config_text: str) -> Iterator[Journal]:
    """Make a run folder, which goes again if nothing that is worth resuming comes of it."""
    make_run(run)
    with locked(run, experiment.trainer.progress.say) as is_ours:
        try:
            write_bytes(run / CONFIG, config_text.encode())
            write_json(run / "environment.json", environment())
            with Journal(run) as journal:
                yield journal
        except BaseException as error:
            least = 1 if isinstance(error, UserError) else 0
            if is_ours() and _saved_epochs(run) < least:
                shutil.rmtree(run, ignore_errors=True)
            raise


def _saved_epochs(run: Path) -> int:
    """Number of complete epochs in the checkpoint of a run; -1 if there is none."""
    return int(read_card(run / LAST)["epochs"]) if (run / LAST).exists() else -1


def resume_run(experiment: Experiment, run: Path) -> None:
    """Go on after the last complete epoch of a run, bit for bit as if it had not stopped.

    Raises:
        UserError: If the run holds nothing to resume, another process writes into it, or its
            settings or data are not those that it was started with.
    """
    runtime, say = experiment.trainer.runtime, experiment.trainer.progress.say
    with locked(run, say) if runtime.is_main else nullcontext():
        state = None
        if runtime.is_main:
            state = restore_last(run, say)
            refuse_other_run(run, state["facts"], experiment.facts, say)
        runtime.broadcast(None)  # the others read what the main process has put in order
        state = state or load_resume(run / LAST)
        load_networks(run / LAST, _networks(experiment))
        load_optimizers(_optimizers(experiment), state["optimizers"], run)
        with _old_journal(run, state, say) if runtime.is_main else nullcontext() as journal:
            _train(experiment, run, state["epoch"], journal)


def _old_journal(run: Path, state: Mapping[str, Any], say: Callable[[str], None]) -> Journal:
    """The journal of a run that goes on: what its checkpoint holds, whatever lies in the folder."""
    file, text = run / METRICS, state["journal"]
    if not file.is_file() or not file.read_bytes().startswith(text.encode()):
        say(f"{file} was missing or damaged; it is written again from the checkpoint")
    return Journal(run, text, state["epoch"] + 1)


def _train(experiment: Experiment, run: Path, start: int, journal: Journal | None) -> None:
    """All epochs from a number on; the process that has the journal writes."""
    trainer = experiment.trainer
    remaining = list(places(trainer.stages, start))
    for place in remaining:
        began = time.perf_counter()
        epoch = trainer.epoch(place)
        record = epoch.record
        every = experiment.evaluate_every
        if place is remaining[-1] or (every and place.number % every == 0):
            record |= _scores(experiment)
        record["seconds"] = time.perf_counter() - began
        if journal is not None:
            journal.write(place.number, record)
            sheet = trainer.show(trainer.stages[place.stage])
            if sheet is not None:
                journal.show(place.number, sheet)
            _save(experiment, run, place.number, record, epoch, journal.text)
            trainer.progress.say(_line(place, record))
    if journal is not None:
        trainer.progress.say(f"done: {run / LAST / ENCODER}")


def _scores(experiment: Experiment) -> Record:
    """MAP and CMC in 0..1; nothing for an unlabelled folder."""
    runtime = experiment.trainer.runtime
    if experiment.evaluator is None:
        return {}
    results = runtime.broadcast(
        experiment.evaluator(experiment.trainer.encode) if runtime.is_main else ()
    )
    scores: Record = {}
    for result in results:
        suffix = "" if result is results[0] else "_reranked"
        scores |= {f"mAP{suffix}": result.mean_ap, f"rank-1{suffix}": result.cmc[1]}
    return scores


def _save(
    experiment: Experiment, run: Path, epochs: int, record: Record, epoch: Epoch | None, text: str
) -> None:
    """Write the checkpoint after an epoch; ``text`` is the journal up to it."""
    bank = epoch.bank if epoch else None
    generator = experiment.trainer.generator
    optimizers = _optimizers(experiment)
    save_checkpoint(
        run / LAST,
        networks=_networks(experiment),
        card=experiment.card,
        about={**experiment.about, "epochs": epochs, "metrics": record},
        bank={"features": bank.features, "labels": bank.labels} if bank else {},
        resume={
            "epoch": epochs,
            "optimizers": {name: made.state_dict() for name, made in optimizers.items()},
            "journal": text,
            "facts": experiment.facts,
        },
        save_more=None if generator is None else generator.save,
        keep_old=True,
    )


def _networks(experiment: Experiment) -> dict[str, nn.Module]:
    """All networks of a run, by the names of their files."""
    trainer = experiment.trainer
    found: dict[str, nn.Module] = {"encoder": trainer.encoder}
    if trainer.mean is not None:
        found[EMA_ENCODER] = trainer.mean
    return found | {name: learner.network for name, learner in trainer.trainable.items()}


def _optimizers(experiment: Experiment) -> dict[str, torch.optim.Optimizer]:
    trainer = experiment.trainer
    identity = {f"identity_{kind}": learner for kind, learner in trainer.identity.items()}
    return {name: made.optimizer for name, made in {**identity, **trainer.trainable}.items()}


def _line(place: EpochPosition, record: Mapping[str, float | int | str]) -> str:
    """One line per epoch, for people."""
    counts = ("clusters", "outliers", "largest_cluster")
    words = [f"epoch {place.number}"]
    words += [f"{name} {record[name]}" for name in counts if name in record]
    words += [f"{name} {value:.3f}" for name, value in record.items() if name.startswith("loss_")]
    words += [f"{name} {record[name]:.3f}" for name in ("nmi", "ari", "purity") if name in record]
    words += [f"{n} {100 * float(record[n]):.1f}" for n in ("mAP", "rank-1") if n in record]
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
