"""Does learning poses first help? GenPoCCL's groups, StableRep's, and none, on rendered people.

The same small encoder learns from random weights for as long: from groups that share a pose (other
people), from groups that share looks (one prompt, any pose), or not at all. Then a linear probe
asks its features for key points of other people, and the unsupervised baseline goes on from it.

    reid-gen data groups --share pose --count 1000 --members 4 --out demo/poses
    reid-gen data groups --share looks --count 1000 --members 4 --out demo/looks
    python -m benchmarks.poses --root demo/pedestrians --poses demo/poses --looks demo/looks \
        --out runs_poses

Runs that are there are kept. Prints one JSON object.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from benchmarks.pose_probe import probe
from benchmarks.small_runs import add_together, done, each, ranking, slug, summary
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
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, what in (("root", "rendered pedestrians"), ("poses", "groups"), ("looks", "groups")):
        parser.add_argument(f"--{name}", type=Path, required=True, help=what)
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    add_together(parser)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    ways = {
        "none": None,
        "same pose": POSE.format(groups=options.poses, weights="{pose: 1.0}"),
        "same pose, aligned": POSE.format(groups=options.poses, weights="{pose: 1.0, align: 0.5}"),
        "same looks": POSE.format(groups=options.looks, weights="{pose: 1.0}"),
    }
    jobs = [(way, text, seed) for seed in range(1, options.seeds + 1) for way, text in ways.items()]
    measured = each(partial(measure, options), jobs, options.together)
    found = {way: measured[place :: len(ways)] for place, way in enumerate(ways)}
    table = {way: summary(runs) for way, runs in found.items()}
    print(as_json({**table, "environment": environment()}))


def measure(options: argparse.Namespace, job: tuple[str, str | None, int]) -> dict[str, float]:
    """Ranking after learning to recognise people, and PCK before it if anything was learnt."""
    way, text, seed = job
    name = f"{slug(way)}_{seed}"
    start = None if text is None else train(options, f"pre_{name}", seed, text)
    after = train(options, name, seed, RE_ID, start)
    probed = {} if start is None else probe(options.root, start)["stripes"]
    return {**ranking(after), **probed}


def train(
    options: argparse.Namespace, name: str, seed: int, more: str, start: Path | None = None
) -> Path:
    """Do a run if it is not there yet; returns its folder."""
    text = CONFIG.format(
        name=name, seed=seed, out=options.out, root=options.root,
        start="null" if start is None else start, more=more,
    )  # fmt: skip
    return done(options.out / name, text)


if __name__ == "__main__":
    main()
