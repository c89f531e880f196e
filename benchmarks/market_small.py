"""Market-1501 on two CPU cores: the same training with and without generated views.

All arms start from one encoder after a few epochs of the unsupervised baseline, and from generators
that learnt beside it; they see the same number of real images and differ in what else is
contrasted:

- baseline: nothing;
- views: the GAN's views, which stays as it is;
- views, pulled: the same, and images are only pulled towards them;
- joint: as views, and the GAN goes on learning;
- diffusion: a small diffusion model's views, made once; images are only pulled towards them.

    reid-gen meshes market1501 --root DIR --out DIR/bodies
    python -m benchmarks.market_small --root DIR --weights FILE --out runs_market

DIR holds Market-1501-v15.09.15 and bodies/, FILE ImageNet weights of MobileNetV2. The whole test
set is ranked after the last epoch. Runs that are there are kept, and one that was cut off goes on.
Prints one JSON object: ranking of every arm, scores of the views.
"""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from benchmarks.positives import ALIGNED, diffusion_network
from benchmarks.small_runs import BOTH, VIEWS, Run, options_of, ranking, slug, stored, train, views
from reid_gen.cli.main import main as reid_gen
from reid_gen.engine.run import environment

IDENTITY = "iterations: 100, learning_rate: 3.5e-4"
LAST = f"epochs: 6, decay_every: 5, {IDENTITY}"
GAN = (
    "{name: generator, trains: [generator], epochs: 2, iterations: 250, "
    "generator_learning_rate: 5.0e-4}"
)
DIFFUSION = (
    "{name: generator, trains: [generator], epochs: 2, iterations: 150, "
    "generator_learning_rate: 5.0e-4}"
)
CHEAP = {"widths": [64, 128], "steps": 6, "person_guidance": 1.0}
"""Six passes of a small network, by which two cores draw 12,000 pictures in minutes."""
STARTS = {
    "warm": Run(
        f"{{name: identity, epochs: 8, decay_every: null, {IDENTITY}}}",
        start=None,
        overrides=["generator=null"],
    ),
    "warm_gan": Run(GAN, start="warm"),
    "warm_diffusion": Run(DIFFUSION, start="warm"),
}
ARMS = {
    "baseline": Run(f"{{name: baseline, {LAST}}}", start="warm"),
    "views": Run(f"{{name: views, views: true, {LAST}}}", VIEWS, "warm_gan"),
    "views, pulled": Run(f"{{name: views, views: true, {LAST}}}", ALIGNED, "warm_gan"),
    "joint": Run(f"{{name: joint, {BOTH}, {LAST}}}", VIEWS, "warm_gan"),
    "diffusion": Run(f"{{name: views, views: true, {LAST}}}", ALIGNED, "warm"),
}


def main() -> None:
    """Run what is missing, and print the table."""
    parser = options_of(__doc__)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    options = parser.parse_args()
    ranked, drawn = {}, {}
    ranked["before"] = ranking(run(options, "warm", STARTS["warm"]))
    for arm in options.arms:
        settings = ARMS[arm]
        if arm == "diffusion":
            settings = replace(settings, overrides=[stored(diffusion_groups(options))])
        elif settings.start == "warm_gan":
            run(options, "warm_gan", STARTS["warm_gan"])
        ranked[arm] = ranking(run(options, slug(arm), settings))
    judge = run(options, "warm", STARTS["warm"])
    for folder in ("joint", "warm_gan", "warm_diffusion"):
        if (options.out / folder / "done").exists():
            drawn[folder] = views(options.out / folder, judge)
    print(json.dumps({"ranking": ranked, "views": drawn, "environment": environment()}, indent=2))


def run(options: Namespace, name: str, settings: Run) -> Path:
    """Do a run on Market-1501 if it is not there yet; returns its folder."""
    data = ["data.name=market1501"]
    return train(options, name, replace(settings, overrides=[*data, *settings.overrides]))


def diffusion_groups(options: Namespace) -> Path:
    """One view of every training image by a diffusion model, which learns first."""
    start = replace(STARTS["warm_diffusion"], overrides=[diffusion_network(options, **CHEAP)])
    folder: Path = options.out / "groups_diffusion"
    words = ["generate", str(run(options, "warm_diffusion", start)), "--out", str(folder)]
    reid_gen([*words, "--members", "1"])
    return folder


if __name__ == "__main__":
    main()
