"""Which positives help? The same training with groups from several makers, several seeds.

All arms start from one warm identity encoder. A GAN and a pixel diffusion model are trained beside
it, with the encoder frozen; each then generates two views of every training image once, and so do
the positive sources of CLSP and CLIC. The arms differ in the groups that they read and in the loss
term that reads them:

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

from benchmarks.small_runs import (
    BASELINE,
    LAST,
    VIEWS,
    Run,
    options_of,
    over_seeds,
    stored,
    summary,
    train,
    train_starts,
    views,
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
GOOD = {"min_identity": 0.5, "min_structure": 0.6}
MAKERS = {"gan": "turned", "diffusion": "turned", "clsp": "anchored", "clic": "mosaic"}
"""Groups, by whose networks (CLSP: the diffusion model's; CLIC: nobody's), and how."""
MEMBERS = ("--members", "2")
ARMS: dict[str, tuple[str, str, Mapping[str, object]]] = {
    "gan": ("gan", VIEWS, {}),
    "gan, aligned": ("gan", ALIGNED, {}),
    "diffusion": ("diffusion", VIEWS, {}),
    "diffusion, filtered": ("diffusion", VIEWS, GOOD),
    "diffusion, weighed": ("diffusion", VIEWS, {"weight_by_identity": True}),
    "diffusion, aligned": ("diffusion", ALIGNED, {}),
    "clsp, aligned": ("clsp", ALIGNED, {}),
    "clic, aligned": ("clic", ALIGNED, {}),
}


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = options_of(__doc__)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    parser.add_argument("--fresh", type=Path, help="another rendered set to rank on too")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    options = parser.parse_args()
    train_starts(options)
    runs = {"gan": options.out / "warm_generator", "diffusion": train_diffusion(options)}
    drawn = {name: views(run, options.judge) for name, run in runs.items()}
    costs = {name: cost(run) for name, run in runs.items()}
    groups, seconds = make_groups(options, {**runs, "clsp": runs["diffusion"], "clic": runs["gan"]})
    found = over_seeds(options, runs_of(options.arms, groups))
    tables = {"ranking": {arm: summary(runs) for arm, runs in found.items()}, "views": drawn}
    about = {"cost": costs, "seconds_per_image": seconds, "environment": environment()}
    print(as_json({**tables, **about}))


def runs_of(names: Sequence[str], groups: Mapping[str, Path]) -> dict[str, Run]:
    """The baseline, and the arms of these names."""
    arms = {"baseline": BASELINE}
    for arm in names:
        maker, terms, settings = ARMS[arm]
        arms[f"stored {arm}"] = Run(STAGE, terms, overrides=[stored(groups[maker], **settings)])
    return arms


def train_diffusion(options: Namespace) -> Path:
    """The diffusion model that learns from the warm encoder."""
    run = Run(DIFFUSION, start="warm", overrides=[diffusion_network(options)])
    return train(options, "warm_diffusion", run)


def diffusion_network(options: Namespace, **changes: object) -> str:
    """The override that puts a diffusion model in the GAN's place."""
    generator = {
        "kind": "pixel_diffusion", "bodies": str(options.root / "bodies"), "widths": [96, 192],
        "map": "painted", "batch": 32, **changes,
    }  # fmt: skip
    return f"generator={as_json(generator, None)}"


def make_groups(
    options: Namespace, runs: dict[str, Path]
) -> tuple[dict[str, Path], dict[str, float]]:
    """Groups of the makers that arms need, and the seconds per image.

    Scores and writing are counted.
    """
    folders, seconds = {}, {}
    for name in sorted({ARMS[arm][0] for arm in options.arms}):
        maker = MAKERS[name]
        folder, clock = options.out / f"groups_{name}", options.out / f"groups_{name}.seconds"
        began = time.perf_counter()
        reid_gen(["generate", str(runs[name]), "--out", str(folder), "--maker", maker, *MEMBERS])
        if not clock.exists():
            lines = sum(len(p.read_text().splitlines()) for p in folder.rglob("manifest.jsonl"))
            clock.write_text(str((time.perf_counter() - began) / lines))
        folders[name], seconds[name] = folder, round(float(clock.read_text()), 4)
    return folders, seconds


def cost(run: Path) -> dict[str, float]:
    """Parameters of the generator (without its EMA) in millions, and minutes of training."""
    weights = read_weights(run / "last" / "generator.safetensors")
    drawing = [value for name, value in weights.items() if not name.startswith("average.")]
    minutes = sum(float(record.get("seconds", 0)) for record in read_metrics(run)) / 60
    millions = sum(value.numel() for value in drawing) / 1e6
    return {"parameters_millions": round(millions, 2), "minutes": round(minutes, 1)}


if __name__ == "__main__":
    main()
