"""Ablation of training recipes on a validation split of Market-1501's training set.

150 of the 751 training people, drawn with a fixed seed, are held out. One random image per person
and camera is a query, the rest are the gallery, so that the official test set does not influence
the choice of a recipe. All arms see the same number of images in the same number of epochs; an arm
is one line of ``ARMS``.

    python -m benchmarks.recipe --root DIR --out runs_recipe --arms batch_128 batch_32 --seeds 1 2 3

DIR contains Market-1501-v15.09.15; the default is the environment variable REID_DATA. Every epoch
is evaluated, with results in the run's metrics.jsonl. Complete runs are reused, interrupted runs
are resumed, and --table prints the table of existing runs without training.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.small_runs import ensure_run
from reid_gen.data.datasets import load_dataset
from reid_gen.files import written_aside
from reid_gen.training.metrics_log import read_metrics

CONFIG = """\
name: {name}
seed: {seed}
runs: {out}
data: {{name: market1501, root: {root}, height: 128, width: 64, workers: 1}}
encoder: {{backbone: tf_efficientnet_lite0, weights: imagenet, precision: fp32, ghost_batch: 32}}
augment: {{pad: 5}}
sampler: {{batch: 32, instances: 4, camera_aware: true}}
clustering: {{eps: {{kind: fixed, value: 0.5}}}}
stages:
  - {{name: identity, epochs: {epochs}, iterations: {iterations}, decay_every: {decay_every}}}
evaluation: {{every: 1}}
"""


class Arm(NamedTuple):
    """Settings of an arm.

    Attributes:
        batch: Number of images per step.
        overrides: Other settings that differ, in the form of ``--set``.
    """

    batch: int
    overrides: list[str]


ARMS = {
    "batch_32": Arm(32, []),
    "batch_128": Arm(128, []),
    "batch_128_large_groups": Arm(128, ["sampler.instances=8", "encoder.ghost_batch=64"]),
    "camera_norm": Arm(32, ["clustering.camera_norm=true"]),
    "hard_prototype": Arm(32, ["loss.weights={prototype: 0.5, hard_prototype: 0.5}"]),
    "weak_view": Arm(32, ["loss.weights.weak_view=1.0"]),
    "camera_proxy": Arm(32, ["loss.weights.camera_proxy=0.5"]),
}
PEOPLE = 150
"""Number of people in the validation split."""
SPLIT_SEED = 0
CPU_SECONDS = "cpu_seconds"
"""File in a run folder with a line for each start or resumption of the run."""
COLUMNS = ("arm", "seed", "epochs", "visits", "mAP", "rank-1", "clusters", "ARI", "CPU s")


def main() -> None:
    """Train missing runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=os.environ.get("REID_DATA"))
    parser.add_argument("--out", type=Path, required=True, help="folder for split and runs")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--visits", type=int, default=80_000, help="number of training images per run"
    )
    parser.add_argument("--table", action="store_true", help="only print the table")
    options = parser.parse_args()
    runs = [(arm, seed) for seed in options.seeds for arm in options.arms]
    if not options.table:
        if options.root is None:
            parser.error("give --root, or set REID_DATA, to the folder of Market-1501-v15.09.15")
        split = options.out / "split"
        if not split.exists():
            write_split(options.root, split)
        for arm, seed in runs:
            train(options, split, arm, seed)
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for arm, seed in runs:
        print(row(options.out / f"{arm}_{seed}", arm, seed))


def write_split(root: Path, target: Path, people: int = PEOPLE) -> None:
    """Write the validation split in Market-1501's layout, as links to its training images.

    Args:
        root: Folder that contains Market-1501.
        target: Folder to create.
        people: Number of people to hold out.
    """
    dataset = load_dataset("market1501", root)
    pids = dataset.train_pids
    assert pids is not None
    rng = np.random.default_rng(SPLIT_SEED)
    held_out = np.isin(pids, rng.choice(np.unique(pids), people, replace=False))
    cameras = np.array([image.camid for image in dataset.train])
    shuffled = rng.permutation(np.flatnonzero(held_out))
    pids_and_cameras = np.stack([pids, cameras], axis=1)[shuffled]
    queries = shuffled[np.unique(pids_and_cameras, axis=0, return_index=True)[1]]
    folder = np.where(held_out, "bounding_box_test", "bounding_box_train")
    folder[queries] = "query"
    with written_aside(target) as aside:
        for name, image in zip(folder.tolist(), dataset.train, strict=True):
            link = aside / name / image.path.name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(image.path.resolve())


def train(options: argparse.Namespace, split: Path, arm: str, seed: int) -> None:
    """Train the run of an arm unless it exists."""
    batch, overrides = ARMS[arm]
    folder = options.out / f"{arm}_{seed}"
    config = CONFIG.format(
        name=folder.name,
        seed=seed,
        out=options.out,
        root=split,
        epochs=options.epochs,
        iterations=options.visits // (options.epochs * batch),
        decay_every=max(1, options.epochs - 2),
    )
    with _record_cpu_time(folder):
        ensure_run(folder, config, [f"sampler.batch={batch}", *overrides])


@contextmanager
def _record_cpu_time(folder: Path) -> Iterator[None]:
    """Record the CPU time of a run, also if it is interrupted."""
    start = time.process_time()
    finished = (folder / "done").exists()
    try:
        yield
    finally:
        if folder.exists() and not finished:
            with (folder / CPU_SECONDS).open("a") as file:
                file.write(f"{time.process_time() - start:.0f}\n")


def row(folder: Path, arm: str, seed: int) -> str:
    """Format a run's last epoch as a row of the table."""
    metrics = read_metrics(folder) if folder.exists() else []
    epochs = [record for record in metrics if "clusters" in record]
    if not epochs:
        return _row([arm, seed, 0, *["-"] * (len(COLUMNS) - 3)])
    last = epochs[-1]
    visits = sum(
        float(record["images_per_second"]) * float(record["seconds_train"]) for record in epochs
    )
    percent = [f"{100 * float(last[name]):.1f}" for name in ("mAP", "rank-1")]
    ari = f"{float(last['ari']):.3f}"
    file = folder / CPU_SECONDS
    seconds = sum(map(int, file.read_text().split())) if file.exists() else "-"
    return _row([arm, seed, len(epochs), round(visits), *percent, last["clusters"], ari, seconds])


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
