"""Short trainings on rendered pedestrians from common starting points, for comparisons."""

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
Found = TypeVar("Found")
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
WARM = f"{{name: identity, epochs: 6, decay_every: null, {IDENTITY}}}"
DRAW = (
    "{name: generator, trains: [generator], epochs: 2, iterations: 200, "
    "generator_learning_rate: 5.0e-4}"
)
BOTH = "trains: [identity, generator], generator_learning_rate: 1.0e-4"
STRICT = "clustering: {k1: 20, eps: {kind: fixed, value: 0.4}}"
"""Better features allow smaller clusters than the start does."""
LAST = f"epochs: 6, decay_every: 5, {STRICT}, {IDENTITY}"
PLAIN = "{prototype: 1.0}"
VIEWS = "{prototype: 1.0, view_prototype: 1.0}"


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        stage: Its only stage, as YAML.
        terms: Weights of the contrastive terms, as YAML.
        start: Run to start from; None starts from the weights of the backbone.
        overrides: Settings that differ, as ``--set`` takes them.
    """

    stage: str
    terms: str = PLAIN
    start: str | None = "warm_generator"
    overrides: Sequence[str] = field(default=())


STARTS = {
    "warm": Run(WARM, start=None, overrides=["generator=null"]),
    "warm_generator": Run(DRAW, start="warm"),
}
"""An identity encoder, and a generator beside it, from which comparisons start."""
BASELINE = Run(f"{{name: baseline, {LAST}}}")


def options_of(description: str) -> argparse.ArgumentParser:
    """What every comparison has to be told."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="rendered pedestrians")
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights")
    parser.add_argument("--backbone", default="mobilenetv2_100_tf", help="that they are of")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    add_together(parser)
    return parser


def add_together(parser: argparse.ArgumentParser) -> None:
    """The option that :func:`each` takes."""
    parser.add_argument("--together", type=int, default=1, help="runs at once, for a GPU")


def each(call: Callable[[Item], Found], items: Sequence[Item], together: int) -> list[Found]:
    """``call`` of all items, some at once in processes of their own."""
    if together == 1:
        return [call(item) for item in items]
    with ProcessPoolExecutor(together, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(call, items))


def train(options: argparse.Namespace, name: str, run: Run, seed: int = 1) -> Path:
    """Do a run if it is not there yet. Returns its folder."""
    start = "null" if run.start is None else options.out / run.start
    text = CONFIG.format(
        name=name, seed=seed, stage=run.stage, terms=run.terms, start=start, out=options.out,
        root=options.root, backbone=options.backbone, weights=options.weights,
    )  # fmt: skip
    return done(options.out / name, text, run.overrides)


def done(folder: Path, config: str, overrides: Sequence[str] = ()) -> Path:
    """Do the run of a configuration if it is not there yet; an interrupted one is resumed.

    Args:
        folder: Run folder.
        config: The configuration, as YAML.
        overrides: Settings that differ, as ``--set`` takes them.

    Returns:
        The folder.
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
    """Do the runs that comparisons start from."""
    for name, run in STARTS.items():
        train(options, name, run)


def ranking(folder: Path) -> dict[str, float]:
    """mAP, rank-1 and ARI of a run's last epoch, in percent."""
    last = read_metrics(folder)[-1]
    return {key: round(100 * float(last[key]), 2) for key in ("mAP", "rank-1", "ari")}


def measured(folder: Path, fresh: Path | None) -> dict[str, float]:
    """Ranking of a run's last epoch, and that on another set if there is one."""
    return ranking(folder) | ({} if fresh is None else ranking_on(folder, fresh))


def over_seeds(
    options: argparse.Namespace, arms: Mapping[str, Run]
) -> dict[str, list[dict[str, float]]]:
    """What every arm measures with each seed."""
    seeds = range(1, options.seeds + 1)
    jobs = [(f"{slug(arm)}_{seed}", run, seed) for seed in seeds for arm, run in arms.items()]
    found = each(partial(_measured, options), jobs, options.together)
    return {arm: found[place :: len(arms)] for place, arm in enumerate(arms)}


def _measured(options: argparse.Namespace, job: tuple[str, Run, int]) -> dict[str, float]:
    return measured(train(options, *job), options.fresh)


def slug(name: str) -> str:
    """A name for a folder."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def ranking_on(folder: Path, root: Path) -> dict[str, float]:
    """Ranking by a run's encoder on other rendered pedestrians, in percent."""
    output = folder / f"on_{root.name}.json"
    words = ["evaluate", "--checkpoint", str(folder), "--set", f"data.root={root}"]
    if not output.exists():
        reid_gen([*words, "--json", str(output)])
    found = json.loads(output.read_text())[0]
    return {f"fresh_{key}": round(100 * float(found[key]), 2) for key in ("mAP", "rank-1")}


def stored(groups: Path, **settings: object) -> str:
    """The override that reads views of all images from groups on disk."""
    generator = {"kind": "stored", "groups": str(groups), "members": 1, "batch": 64, **settings}
    return f"generator={as_json(generator, None)}"


def views(folder: Path, judge: Path) -> dict[str, dict[str, float]]:
    """Scores of a run's views and of their stand-ins, by way and score."""
    output = folder / "views.json"
    words = ["evaluate-views", str(folder), "--queries", "90", "--judge", str(judge)]
    reid_gen([*words, "--json", str(output), "--force"])
    found: dict[str, dict[str, float]] = json.loads(output.read_text())["scores"]
    return found


def summary(runs: Sequence[dict[str, float]]) -> dict[str, dict[str, object]]:
    """Mean, standard deviation and values of each measurement over seeds."""
    return {
        key: {
            "mean": round(statistics.mean(run[key] for run in runs), 2),
            "deviation": round(statistics.stdev(run[key] for run in runs), 2),
            "runs": [run[key] for run in runs],
        }
        for key in runs[0]
    }
