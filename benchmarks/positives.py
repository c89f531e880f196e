"""Effect of generated positives from several sources, over several seeds.

All arms start from the same identity encoder. A GAN and a pixel diffusion model are trained with
that encoder frozen; each then generates two views of every training image once, as do the positive
sources of CLSP and CLIC. The arms differ in the groups that they read and in their loss term:

    python -m benchmarks.positives --root demo/pedestrians --weights FILE --out runs_arms \
        --judge runs/baseline_pedestrians

--judge names the run of the reference encoder, which never saw generated images; it scores the
views of the GAN and of the diffusion model. With --fresh FOLDER, another rendered set, every run is
evaluated there too. Existing runs and groups are reused, those of ``benchmarks.arms`` in the same
--out included. Prints one JSON object.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.small_runs import (
    BASELINE,
    LAST,
    VIEWS,
    Run,
    make_parser,
    over_seeds,
    stored_views,
    summary,
    train,
    train_starts,
    view_scores,
)
from reid_gen.cli.main import main as reid_gen
from reid_gen.files import as_json
from reid_gen.models.weights import read_weights
from reid_gen.training.metrics_log import read_metrics
from reid_gen.training.run import environment

DIFFUSION = (
    "{name: generator, trains: [generator], epochs: 2, iterations: 300, "
    "generator_learning_rate: 5.0e-4}"
)
ALIGNED = "{prototype: 1.0, view_align: 1.0}"
STAGE = f"{{name: views, views: true, {LAST}}}"
FILTER = {"min_identity": 0.5, "min_structure": 0.6}
MAKERS = {"gan": "turned", "diffusion": "turned", "clsp": "anchored", "clic": "mosaic"}
"""Groups -> value of --maker; CLSP uses the diffusion model, CLIC no network."""
MEMBERS = ("--members", "2")


class Arm(NamedTuple):
    """Settings of an arm.

    Attributes:
        groups: Key of ``MAKERS``, the groups to read.
        terms: Weights of the contrastive terms, in YAML.
        settings: Other settings of the stored generator.
    """

    groups: str
    terms: str
    settings: Mapping[str, object]


ARMS = {
    "gan": Arm("gan", VIEWS, {}),
    "gan, aligned": Arm("gan", ALIGNED, {}),
    "diffusion": Arm("diffusion", VIEWS, {}),
    "diffusion, filtered": Arm("diffusion", VIEWS, FILTER),
    "diffusion, weighed": Arm("diffusion", VIEWS, {"weight_by_identity": True}),
    "diffusion, aligned": Arm("diffusion", ALIGNED, {}),
    "clsp, aligned": Arm("clsp", ALIGNED, {}),
    "clic, aligned": Arm("clic", ALIGNED, {}),
}


def main() -> None:
    """Train missing runs and print the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    parser.add_argument("--fresh", type=Path, help="another rendered data set to evaluate on")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    options = parser.parse_args()
    train_starts(options)
    runs = {"gan": options.out / "warm_generator", "diffusion": train_diffusion(options)}
    scores = {name: view_scores(run, options.judge) for name, run in runs.items()}
    costs = {name: cost(run) for name, run in runs.items()}
    groups, seconds = make_groups(options, {**runs, "clsp": runs["diffusion"], "clic": runs["gan"]})
    rankings = over_seeds(options, runs_of(options.arms, groups))
    tables = {"ranking": {arm: summary(seeds) for arm, seeds in rankings.items()}, "views": scores}
    about = {"cost": costs, "seconds_per_image": seconds, "environment": environment()}
    print(as_json({**tables, **about}))


def runs_of(names: Sequence[str], groups: Mapping[str, Path]) -> dict[str, Run]:
    """Return the runs of the baseline and of the named arms."""
    arms = {"baseline": BASELINE}
    for name in names:
        arm = ARMS[name]
        views = stored_views(groups[arm.groups], **arm.settings)
        arms[f"stored {name}"] = Run(STAGE, arm.terms, overrides=[views])
    return arms


def train_diffusion(options: Namespace) -> Path:
    """Train the diffusion model with the warm encoder."""
    run = Run(DIFFUSION, start="warm", overrides=[diffusion_network(options)])
    return train(options, "warm_diffusion", run)


def diffusion_network(options: Namespace, **changes: object) -> str:
    """Return the override that replaces the GAN by a diffusion model."""
    generator = {
        "kind": "pixel_diffusion", "bodies": str(options.root / "bodies"), "widths": [96, 192],
        "map": "painted", "batch": 32, **changes,
    }  # fmt: skip
    return f"generator={as_json(generator, None)}"


def make_groups(
    options: Namespace, runs: dict[str, Path]
) -> tuple[dict[str, Path], dict[str, float]]:
    """Generate the groups that the arms need.

    Returns:
        Folder of each kind of groups, and seconds per image, scoring and writing included.
    """
    folders, seconds = {}, {}
    for name in sorted({ARMS[arm].groups for arm in options.arms}):
        maker = MAKERS[name]
        folder = options.out / f"groups_{name}"
        seconds_file = options.out / f"groups_{name}.seconds"
        start = time.perf_counter()
        reid_gen(["generate", str(runs[name]), "--out", str(folder), "--maker", maker, *MEMBERS])
        if not seconds_file.exists():
            lines = sum(len(p.read_text().splitlines()) for p in folder.rglob("manifest.jsonl"))
            seconds_file.write_text(str((time.perf_counter() - start) / lines))
        folders[name], seconds[name] = folder, round(float(seconds_file.read_text()), 4)
    return folders, seconds


def cost(run: Path) -> dict[str, float]:
    """Count the generator's parameters without its EMA, in millions, and minutes of training."""
    weights = read_weights(run / "last" / "generator.safetensors")
    parameters = [value for name, value in weights.items() if not name.startswith("average.")]
    minutes = sum(float(record.get("seconds", 0)) for record in read_metrics(run)) / 60
    millions = sum(value.numel() for value in parameters) / 1e6
    return {"parameters_millions": round(millions, 2), "minutes": round(minutes, 1)}


if __name__ == "__main__":
    main()
