"""Do generated views help? The same training with and without them, several seeds, one table.

All arms start from one warm identity encoder and one warm generator, see the same number of real
images, and differ in what their last stage does:

- baseline: prototypes and real images alone;
- views: the warm generator's views are contrasted too, the generator stays as it is;
- joint: generator and discriminator go on learning;
- gcl_plus: and people are mixed before drawing.

    python -m benchmarks.arms --root demo/pedestrians --weights FILE --out runs_arms

FILE holds ImageNet weights of MobileNetV2 for the backbone of --backbone. Runs that are there are
kept, so that a killed measurement goes on where it was. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from reid_gen.cli.main import main as reid_gen
from reid_gen.engine.journal import read_metrics
from reid_gen.engine.run import environment

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
  batch: 16
  mix: {mix}
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
    "{name: generator, trains: [generator], epochs: 6, iterations: 200, "
    "generator_learning_rate: 5.0e-4}"
)
BOTH = "trains: [identity, generator], generator_learning_rate: 1.0e-4"
LAST = f"epochs: 8, decay_every: 6, {IDENTITY}"
PLAIN = "{prototype: 1.0}"
VIEWS = "{prototype: 1.0, view_prototype: 0.5}"
MIXED = "{prototype: 1.0, view_prototype: 0.5, mixed: 0.5}"
ARMS = {
    "baseline": (f"{{name: baseline, {LAST}}}", PLAIN, "null"),
    "views": (f"{{name: views, views: true, {LAST}}}", VIEWS, "null"),
    "joint": (f"{{name: joint, {BOTH}, {LAST}}}", VIEWS, "null"),
    "gcl_plus": (f"{{name: joint, {BOTH}, {LAST}}}", MIXED, "0.6"),
}
"""Stage, contrastive terms, mixing."""


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="rendered pedestrians")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--backbone", default="mobilenetv2_100_tf")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    train(options, "warm", 1, WARM, PLAIN, "null", "null")
    train(options, "warm_generator", 1, DRAW, PLAIN, "null", options.out / "warm")
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for seed in range(1, options.seeds + 1):
        for arm, (stage, terms, mix) in ARMS.items():
            name = f"{arm}_{seed}"
            train(options, name, seed, stage, terms, mix, options.out / "warm_generator")
            last = read_metrics(options.out / name)[-1]
            found[arm].append({key: float(last[key]) for key in ("mAP", "rank1", "ari")})
    print(json.dumps({**table(found), "environment": environment()}, indent=2))


def train(
    options: argparse.Namespace,
    name: str,
    seed: int,
    stage: str,
    terms: str,
    mix: str,
    start: Path | str,
) -> None:
    """One run, if it is not there yet; one that was cut off goes on."""
    run = options.out / name
    if (run / "done").exists():
        return
    if run.exists():
        reid_gen(["train", "--resume", str(run)])
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        file = options.out / f"{name}.yaml"
        text = CONFIG.format(
            name=name, seed=seed, stage=stage, terms=terms, mix=mix, start=start,
            out=options.out, root=options.root, backbone=options.backbone, weights=options.weights,
        )  # fmt: skip
        file.write_text(text, encoding="utf-8")
        reid_gen(["train", "--config", str(file)])
    (run / "done").touch()


def table(found: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, object]]:
    """Mean, spread and values per arm, in percent."""
    return {
        arm: {
            key: {
                "mean": round(100 * statistics.mean(run[key] for run in runs), 2),
                "deviation": round(100 * statistics.stdev(run[key] for run in runs), 2),
                "runs": [round(100 * run[key], 2) for run in runs],
            }
            for key in ("mAP", "rank1", "ari")
        }
        for arm, runs in found.items()
        if len(runs) > 1
    }


if __name__ == "__main__":
    main()
