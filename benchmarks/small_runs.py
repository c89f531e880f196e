"""Short training runs on rendered pedestrians from common initial weights, for comparisons."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from reid_gen.cli.main import main as reid_gen
from reid_gen.files import as_json
from reid_gen.training.metrics_log import read_metrics

Item = TypeVar("Item")
Result = TypeVar("Result")
CONFIG = """\
name: {name}
seed: {seed}
runs: {out}
data: {{name: pedestrians, root: {root}, height: 128, width: 64, workers: 2}}
encoder: {{backbone: {backbone}, weights: {weights}, precision: fp32}}
augment: {{pad: 5}}
sampler: {{batch: 64, instances: 8, camera_aware: true}}
clustering: {{k1: 20, eps: {{kind: fixed, value: 0.5}}}}
loss: {{weights: {terms}}}
generator:
  kind: mesh_gan
  bodies: {root}/bodies
  map: painted
  batch: 64
  train_batch: 16
  body_weight: 4.0
  padding: zeros
  ema_momentum: 0.999
  structure: {{width: 8}}
  decoder: {{hidden: 256}}
  discriminator: {{width: 16}}
  weights: {{feature: 0.5}}
start_from: {start}
stages:
  - {stage}
"""
IDENTITY = "iterations: 40, learning_rate: 3.5e-4"
WARM_STAGE = f"{{name: identity, epochs: 6, decay_every: null, {IDENTITY}}}"
GENERATOR_STAGE = (
    "{name: generator, trains: [generator], epochs: 2, iterations: 200, "
    "generator_learning_rate: 5.0e-4}"
)
BOTH = "trains: [identity, generator], generator_learning_rate: 1.0e-4"
STRICT = "clustering: {k1: 20, eps: {kind: fixed, value: 0.4}}"
"""Smaller radius than in the warm start, because features are better by then."""
LAST = f"epochs: 6, decay_every: 5, {STRICT}, {IDENTITY}"
PLAIN = "{prototype: 1.0}"
VIEWS = "{prototype: 1.0, view_prototype: 1.0}"


@dataclass(frozen=True)
class Run:
    """Settings of one training run.

    Attributes:
        stage: The only stage, in YAML.
        terms: Weights of the contrastive terms, in YAML.
        start: Name of the run whose checkpoint initialises this one; None starts from the weights
            of the backbone.
        overrides: Other settings that differ, in the form of ``--set``.
    """

    stage: str
    terms: str = PLAIN
    start: str | None = "warm_generator"
    overrides: Sequence[str] = field(default=())


STARTS = {
    "warm": Run(WARM_STAGE, start=None, overrides=["generator=null"]),
    "warm_generator": Run(GENERATOR_STAGE, start="warm"),
}
"""Warm starts of comparisons: an identity encoder, and then a generator trained with it."""
BASELINE = Run(f"{{name: baseline, {LAST}}}")


def make_parser(description: str) -> argparse.ArgumentParser:
    """Create the parser with the options of every comparison."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="rendered pedestrians")
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights")
    parser.add_argument("--backbone", default="mobilenetv2_100_tf", help="their backbone")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    add_together(parser)
    return parser


def add_together(parser: argparse.ArgumentParser) -> None:
    """Add the option for the number of parallel runs, see :func:`map_jobs`."""
    parser.add_argument("--together", type=int, default=1, help="parallel runs, on a GPU")


def map_jobs(call: Callable[[Item], Result], items: Sequence[Item], workers: int) -> list[Result]:
    """Apply ``call`` to all items, in parallel processes if there are several workers."""
    if workers == 1:
        return [call(item) for item in items]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(call, items))


def train(options: argparse.Namespace, name: str, run: Run, seed: int = 1) -> Path:
    """Train a run unless it exists, and return its folder."""
    start = "null" if run.start is None else options.out / run.start
    text = CONFIG.format(
        name=name, seed=seed, stage=run.stage, terms=run.terms, start=start, out=options.out,
        root=options.root, backbone=options.backbone, weights=options.weights,
    )  # fmt: skip
    return ensure_run(options.out / name, text, run.overrides)


def ensure_run(folder: Path, config: str, overrides: Sequence[str] = ()) -> Path:
    """Train a configuration unless its run is complete; an interrupted run is resumed.

    Args:
        folder: Run folder.
        config: Configuration in YAML.
        overrides: Settings that differ, in the form of ``--set``.

    Returns:
        The run folder.
    """
    mark = folder / "done"
    if mark.exists():
        return folder
    if folder.exists():
        reid_gen(["train", "--resume", str(folder)])
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = folder.with_name(f"{folder.name}.yaml")
        file.write_text(config, encoding="utf-8")
        settings = [word for override in overrides for word in ("--set", override)]
        reid_gen(["train", "--config", str(file), *settings])
    mark.touch()
    return folder


def train_starts(options: argparse.Namespace) -> None:
    """Train the warm starts of comparisons."""
    for name, run in STARTS.items():
        train(options, name, run)


def ranking(folder: Path) -> dict[str, float]:
    """Read mAP, rank-1 and ARI of a run's last epoch, in percent."""
    last = read_metrics(folder)[-1]
    return {key: round(100 * float(last[key]), 2) for key in ("mAP", "rank-1", "ari")}


def scores_of_run(folder: Path, fresh: Path | None) -> dict[str, float]:
    """Collect the scores of a run's last epoch, and those on another data set if given."""
    return ranking(folder) | ({} if fresh is None else ranking_on(folder, fresh))


def over_seeds(
    options: argparse.Namespace, arms: Mapping[str, Run]
) -> dict[str, list[dict[str, float]]]:
    """Train every arm with each seed; return the scores of each arm by seed."""
    seeds = range(1, options.seeds + 1)
    jobs = [(f"{slug(arm)}_{seed}", run, seed) for seed in seeds for arm, run in arms.items()]
    scores = map_jobs(partial(_train_and_score, options), jobs, options.together)
    return {arm: scores[position :: len(arms)] for position, arm in enumerate(arms)}


def _train_and_score(options: argparse.Namespace, job: tuple[str, Run, int]) -> dict[str, float]:
    return scores_of_run(train(options, *job), options.fresh)


def slug(name: str) -> str:
    """Convert a name to a folder name of letters, digits and underscores."""
    return "".join(char if char.isalnum() else "_" for char in name)


def ranking_on(folder: Path, root: Path) -> dict[str, float]:
    """Evaluate a run's encoder on another rendered data set, in percent."""
    output = folder / f"on_{root.name}.json"
    words = ["evaluate", "--checkpoint", str(folder), "--set", f"data.root={root}"]
    if not output.exists():
        reid_gen([*words, "--json", str(output)])
    result = json.loads(output.read_text())[0]
    return {f"fresh_{key}": round(100 * float(result[key]), 2) for key in ("mAP", "rank-1")}


def stored_views(groups: Path, **settings: object) -> str:
    """Return the override that reads the views of all images from groups on disk."""
    generator = {"kind": "stored", "groups": str(groups), "members": 1, "batch": 64, **settings}
    return f"generator={as_json(generator, None)}"


def view_scores(folder: Path, reference: Path) -> dict[str, dict[str, float]]:
    """Evaluate a run's views with the reference encoder of another run.

    Returns:
        Scores of the generated views and of the baselines, by row and score.
    """
    output = folder / "views.json"
    words = ["evaluate-views", str(folder), "--queries", "90", "--judge", str(reference)]
    reid_gen([*words, "--json", str(output), "--force"])
    scores: dict[str, dict[str, float]] = json.loads(output.read_text())["scores"]
    return scores


def summary(runs: Sequence[dict[str, float]]) -> dict[str, dict[str, object]]:
    """Compute mean, standard deviation and values of each score over seeds."""
    return {
        key: {
            "mean": round(statistics.mean(run[key] for run in runs), 2),
            "deviation": round(statistics.stdev(run[key] for run in runs), 2),
            "runs": [run[key] for run in runs],
        }
        for key in runs[0]
    }
