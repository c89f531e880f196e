"""Kill tiny runs by SIGKILL at random times, resume them, and compare with runs never stopped.

    OMP_NUM_THREADS=1 python -m benchmarks.kills --out /tmp/kills --kills 40

A baseline and a joint GCL run on rendered people, on CPU. A run that ends before all kills are used
is started anew. Prints a table: what the kills hit, what they cost, whether the final files of each
run are those of the run never stopped. Exits with code 1 if they are not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid_gen.cli.main import main as reid_gen
from reid_gen.errors import UserError
from reid_gen.files import partial_path, previous_path
from reid_gen.models.checkpoint import RESUME_FILE, read_card
from reid_gen.models.weight_files import LAST_FOLDER, checkpoint_folder
from reid_gen.pedestrians.crop_list import DatasetSize
from reid_gen.pedestrians.dataset import render_dataset
from reid_gen.text_table import aligned
from reid_gen.training.metrics_log import read_metrics
from reid_gen.training.resume import load_resume
from reid_gen.training.run_folder import LOCK

SIZE = DatasetSize(8, 4, 3, 64, 8, 24, 4)
HEIGHT, WIDTH = 64, 32
CONFIG = """\
name: {name}
seed: 3
runs: {runs}
data: {{name: pedestrians, root: {people}, height: 64, width: 32, workers: 2}}
encoder: {{backbone: resnet18, ghost_batch: 16, precision: fp32}}
augment: {{flip: 0.5, pad: 2, erase: 0.3}}
sampler: {{batch: 16, instances: 4}}
clustering: {{k1: 6, k2: 2, min_samples: 2, eps: {{kind: fixed, value: 0.6}}}}
evaluation: {{batch: 32, every: 4}}
"""
BASELINE = """\
stages:
  - {{name: identity, epochs: 12, iterations: 4, learning_rate: 3.5e-4}}
"""
JOINT = """\
generator:
  kind: mesh_gan
  bodies: {people}/bodies
  batch: 4
  ema_momentum: 0.9
  structure: {{width: 4, blocks: 1, pyramid: false}}
  decoder: {{hidden: 8}}
  discriminator: {{width: 4, blocks: 1, scales: 2}}
loss: {{weights: {{prototype: 1.0, view_prototype: 0.5, view_instance: 0.5}}}}
stages:
  - {{name: identity, epochs: 2, iterations: 4, learning_rate: 3.5e-4}}
  - {{name: generator, trains: [generator], epochs: 2, iterations: 4}}
  - {{name: joint, trains: [identity, generator], epochs: 8, iterations: 4}}
"""
RUNS = {"baseline": BASELINE, "joint": JOINT}
EPOCHS_PER_KILL = 2.0
"""Longest time to a kill, in epochs of the run never stopped."""
TIMES = ("seconds", "images_per_second", "peak_")
"""Beginnings of the names of metrics that differ from run to run."""
BEFORE, WRITING, RENAMING, TRAINING = (
    "before the first checkpoint", "while a checkpoint was written",
    "between the two renames of a checkpoint", "in an epoch",
)  # fmt: skip
FORK = multiprocessing.get_context("forkserver")


@dataclass
class Tally:
    """What the kills of one kind of run hit and cost.

    Attributes:
        epoch: Seconds per epoch of the run never stopped.
        hits: Number of kills by what they hit.
        lost: Complete epochs that the newest checkpoint no longer held after a kill, summed.
        previous: Sessions that resumed from the previous checkpoint.
        differing: For each completed run, its files and metrics that differ.
    """

    epoch: float
    hits: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    previous: int = 0
    differing: list[list[str]] = field(default_factory=list)


def main() -> None:
    """Kill, resume and compare both runs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for data and runs")
    parser.add_argument("--kills", type=int, default=40, help="kills of each run")
    parser.add_argument("--seed", type=int, default=1, help="seed of the times")
    parser.add_argument("--runs", nargs="+", choices=list(RUNS), default=list(RUNS))
    options = parser.parse_args()
    FORK.set_forkserver_preload(["reid_gen.training.run", "reid_gen.builders.experiment"])
    people = options.out / "people"
    if not people.exists():
        render_dataset(people, SIZE, seed=3, height=HEIGHT, width=WIDTH)
    tallies = [_kill_runs(options, name) for name in options.runs]
    print(_table(options.runs, tallies))
    if any(any(tally.differing) for tally in tallies):
        sys.exit(1)


def _kill_runs(options: argparse.Namespace, name: str) -> Tally:
    """Use all kills on runs of one configuration; every run is completed and compared."""
    uninterrupted = _write_config(options.out, name, "uninterrupted")
    shutil.rmtree(uninterrupted, ignore_errors=True)
    _complete(uninterrupted)
    records = read_metrics(uninterrupted)[2:]  # the first epoch compiles
    tally = Tally(float(np.median([float(record["seconds"]) for record in records])))
    rng = np.random.default_rng(options.seed)
    longest, left = EPOCHS_PER_KILL * tally.epoch, options.kills
    while left:
        run = _write_config(options.out, name, "killed")
        shutil.rmtree(run, ignore_errors=True)
        while left and _kill(run, float(rng.uniform(0, longest)), tally):
            left -= 1
        _complete(run)
        expected, actual = _content(uninterrupted), _content(run)
        differing = [
            key
            for key in sorted(expected.keys() | actual.keys())
            if expected.get(key) != actual.get(key)
        ]
        tally.differing.append(differing)
        print(f"{name}: run {len(tally.differing)}, {left} kills left; {differing=}")
    return tally


def _write_config(out: Path, name: str, kind: str) -> Path:
    """Write a configuration beside its run folder, and return the folder."""
    run = out / "runs" / f"{name}_{kind}"
    run.parent.mkdir(exist_ok=True)
    text = (CONFIG + RUNS[name]).format(name=run.name, runs=run.parent, people=out / "people")
    run.with_suffix(".yaml").write_text(text, encoding="utf-8")
    return run


def _launch(run: Path) -> ForkServerProcess:
    """Start or resume a run in a process of its own; a run without checkpoint is started anew."""
    if not any(folder.exists() for folder in (run / LAST_FOLDER, previous_path(run / LAST_FOLDER))):
        shutil.rmtree(run, ignore_errors=True)
    option = ["--resume", str(run)] if run.exists() else ["--config", f"{run}.yaml"]
    process = FORK.Process(target=_train, args=(["train", *option], run.with_suffix(".log")))
    process.start()
    return process


def _train(words: Sequence[str], log: Path) -> None:
    torch.set_num_threads(1)
    with log.open("w", buffering=1, encoding="utf-8") as sys.stderr:
        reid_gen(list(words))


def _complete(run: Path) -> None:
    """Start or resume a run and let it end."""
    process = _launch(run)
    process.join()
    assert process.exitcode == 0, run.with_suffix(".log").read_text()


def _kill(run: Path, delay: float, tally: Tally) -> bool:
    """Start or resume a run and kill it some time after it has locked its folder.

    Returns:
        Whether it was killed; False if it was complete before.
    """
    before = _epochs(run)
    process = _launch(run)
    while process.is_alive() and not _has_locked(process.pid, run):
        time.sleep(0.005)
    process.join(delay)
    process.kill()
    process.join()
    tally.previous += "previous checkpoint" in run.with_suffix(".log").read_text()
    if process.exitcode == 0:
        return False
    assert process.exitcode == -9, run.with_suffix(".log").read_text()
    tally.hits[_state(run)] += 1
    tally.lost += max(0, before - _epochs(run))
    return True


def _has_locked(pid: int | None, run: Path) -> bool:
    lock = run / LOCK
    return lock.exists() and lock.read_text().startswith(f"process {pid} ")


def _state(run: Path) -> str:
    """What a kill has hit, by what it has left in the run folder."""
    last = run / LAST_FOLDER
    prefix = partial_path(last).name
    if not last.exists():
        return RENAMING if previous_path(last).exists() else BEFORE
    is_writing = any(path.name.startswith(prefix) for path in run.iterdir())
    return WRITING if is_writing else TRAINING


def _epochs(run: Path) -> int:
    """Complete epochs in the newest checkpoint of a run; 0 without one."""
    try:
        return int(read_card(checkpoint_folder(run))["epochs"])
    except UserError:
        return 0


def _content(run: Path) -> dict[str, Any]:
    """What a repeated run must equal: weights, bank, views, optimisers, metrics, other names."""
    files = [file for file in run.rglob("*") if file.is_file()]
    names = [file.relative_to(run).as_posix() for file in files]
    metrics = [
        {name: value for name, value in record.items() if not name.startswith(TIMES)}
        for record in read_metrics(run)
    ]
    return {
        "names of files": sorted(name for name in names if not name.startswith("tensorboard/")),
        "metrics": metrics,
        f"optimisers in {RESUME_FILE}": _as_bytes(load_resume(run / LAST_FOLDER)["optimizers"]),
        **{
            name: file.read_bytes()
            for name, file in zip(names, files, strict=True)
            if file.suffix in (".safetensors", ".png")
        },
    }


def _as_bytes(value: Any) -> Any:
    """Replace the tensors in nested dictionaries and lists by their bytes."""
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: _as_bytes(item) for key, item in value.items()}
    return [_as_bytes(item) for item in value] if isinstance(value, list) else value


def _table(names: Sequence[str], tallies: Sequence[Tally]) -> str:
    rows = {
        "kills": [str(sum(t.hits.values())) for t in tallies],
        **{
            hit: [str(t.hits[hit]) for t in tallies]
            for hit in (BEFORE, TRAINING, WRITING, RENAMING)
        },
        "resumed from the previous checkpoint": [str(t.previous) for t in tallies],
        "seconds per epoch": [f"{t.epoch:.2f}" for t in tallies],
        "complete epochs lost": [str(t.lost) for t in tallies],
        "completed runs": [str(len(t.differing)) for t in tallies],
        "of these equal, byte for byte": [str(t.differing.count([])) for t in tallies],
    }
    return aligned(["", *names], [[head, *cells] for head, cells in rows.items()])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
