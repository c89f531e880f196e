"""Market-1501 on two CPU cores: the same training with and without generated views.

All arms start from one encoder after a few epochs of the unsupervised baseline, and from generators
that learnt beside it; they see the same number of real images and differ in what else is
contrasted:

- baseline: nothing;
- views: the GAN's views, which stays as it is;
- views, pulled: the same, and images are only pulled towards them;
- joint: as views, and the GAN goes on learning;
- diffusion: views by a pixel diffusion model, generated once; images are only pulled to them.

    reid-gen meshes market1501 --root DIR --out DIR/bodies
    python -m benchmarks.market_small --root DIR --weights FILE --out runs_market

DIR holds Market-1501-v15.09.15 and bodies/, FILE ImageNet weights of MobileNetV2. The whole test
set is ranked after the last epoch. Runs that are there are kept, and one that was cut off goes on.
Prints one JSON object: ranking of every arm, scores of the views.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from benchmarks.positives import ALIGNED, diffusion_network
from benchmarks.small_runs import (
    BOTH,
    VIEWS,
    Run,
    options_of,
    over_seeds,
    ranking,
    stored,
    train,
    views,
)
from reid_gen.cli.main import main as reid_gen
from reid_gen.files import as_json
from reid_gen.training.run import environment

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
    parser.add_argument("--seeds", type=int, default=1, help="of the arms; they share their starts")
    parser.set_defaults(fresh=None)
    options = parser.parse_args()
    judge = train(options, "warm", on_market(STARTS["warm"]))
    arms = {name: on_market(ARMS[name]) for name in options.arms}
    if any(arm.start == "warm_gan" for arm in arms.values()):
        train(options, "warm_gan", on_market(STARTS["warm_gan"]))
    if "diffusion" in arms:
        views_on_disk = stored(diffusion_groups(options))
        arms["diffusion"] = on_market(ARMS["diffusion"], views_on_disk)
    ranked = {"before": [ranking(judge)], **over_seeds(options, arms)}
    drawn = {
        name: views(options.out / name, judge)
        for name in ("joint_1", "warm_gan", "warm_diffusion")
        if (options.out / name / "done").exists()
    }
    print(as_json({"ranking": ranked, "views": drawn, "environment": environment()}))


def on_market(run: Run, *overrides: str) -> Run:
    """The same run on Market-1501, with more overrides."""
    return replace(run, overrides=["data.name=market1501", *run.overrides, *overrides])


def diffusion_groups(options: Namespace) -> Path:
    """One view of every training image by a diffusion model, which learns first."""
    start = on_market(STARTS["warm_diffusion"], diffusion_network(options, **CHEAP))
    folder: Path = options.out / "groups_diffusion"
    words = ["generate", str(train(options, "warm_diffusion", start)), "--out", str(folder)]
    reid_gen([*words, "--members", "1"])
    return folder


if __name__ == "__main__":
    main()
