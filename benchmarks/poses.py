"""Effect of pose pre-training (GenPoCCL) and of StableRep groups on rendered people.

A small encoder is pre-trained from random weights on groups that share a pose (different people),
on groups that share an appearance (one prompt, different poses), or not at all. A linear probe then
measures the pose information in its features, and the unsupervised baseline starts from it.

    reid-gen data groups --share pose --count 1000 --members 4 --out demo/poses
    reid-gen data groups --share looks --count 1000 --members 4 --out demo/looks
    python -m benchmarks.poses --root demo/pedestrians --poses demo/poses --looks demo/looks \
        --out runs_poses

Existing runs are reused. Prints one JSON object.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from benchmarks.pose_probe import probe
from benchmarks.small_runs import add_together, ensure_run, map_jobs, ranking, slug, summary
from reid_gen.files import as_json
from reid_gen.training.run import environment

CONFIG = """\
name: {name}
seed: {seed}
runs: {out}
data: {{name: pedestrians, root: {root}, height: 128, width: 64, workers: 2}}
encoder: {{backbone: resnet10t, pooling: gem}}
augment: {{pad: 5}}
sampler: {{batch: 64, instances: 8, camera_aware: true}}
clustering: {{k1: 20, eps: {{kind: fixed, value: 0.5}}}}
start_from: {start}
{more}
"""
POSE = """\
pose: {{groups: {groups}, batch: 64, instances: 4, hidden: 512, weights: {weights}}}
stages:
  - name: pose
    trains: [pose]
    epochs: 10
    iterations: 60
    learning_rate: 1.0e-3
    decay_every: 8
"""
RE_ID = """\
stages:
  - {name: identity, epochs: 10, iterations: 40, learning_rate: 3.5e-4, decay_every: 8}
"""


def main() -> None:
    """Train missing runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, content in (
        ("root", "rendered pedestrians"),
        ("poses", "groups"),
        ("looks", "groups"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=content)
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    add_together(parser)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    pretrainings = {
        "none": None,
        "same pose": POSE.format(groups=options.poses, weights="{pose: 1.0}"),
        "same pose, aligned": POSE.format(groups=options.poses, weights="{pose: 1.0, align: 0.5}"),
        "same looks": POSE.format(groups=options.looks, weights="{pose: 1.0}"),
    }
    seeds = range(1, options.seeds + 1)
    jobs = [(name, text, seed) for seed in seeds for name, text in pretrainings.items()]
    scores = map_jobs(partial(measure, options), jobs, options.together)
    table = {
        name: summary(scores[position :: len(pretrainings)])
        for position, name in enumerate(pretrainings)
    }
    print(as_json({**table, "environment": environment()}))


def measure(options: argparse.Namespace, job: tuple[str, str | None, int]) -> dict[str, float]:
    """Score the ranking after re-ID training, and PCK after pre-training if there was any."""
    pretraining, text, seed = job
    name = f"{slug(pretraining)}_{seed}"
    start = None if text is None else train(options, f"pre_{name}", seed, text)
    run = train(options, name, seed, RE_ID, start)
    pck = {} if start is None else probe(options.root, start)["stripes"]
    return {**ranking(run), **pck}


def train(
    options: argparse.Namespace, name: str, seed: int, more: str, start: Path | None = None
) -> Path:
    """Train a run unless it exists, and return its folder."""
    text = CONFIG.format(
        name=name, seed=seed, out=options.out, root=options.root,
        start="null" if start is None else start, more=more,
    )  # fmt: skip
    return ensure_run(options.out / name, text)


if __name__ == "__main__":
    main()
