"""Market-1501 on two CPU cores: training with and without generated views.

All arms start from the same encoder, trained for a few epochs of the unsupervised baseline, and
from generators trained with that encoder. They see the same number of real images and differ in the
generated positives:

- baseline: none;
- views: contrast with views of the frozen GAN;
- views, pulled: the same views, with an alignment loss instead of contrast;
- joint: as views, and the GAN is trained further;
- diffusion: views of a pixel diffusion model, generated once, with the alignment loss.

    reid-gen meshes market1501 --root DIR --out DIR/bodies
    python -m benchmarks.market_small --root DIR --weights FILE --out runs_market

DIR contains Market-1501-v15.09.15 and bodies/, FILE ImageNet weights of MobileNetV2. The full test
set is ranked after the last epoch. Complete runs are reused, and interrupted runs are resumed.
Prints one JSON object with the ranking of every arm and the scores of the views.
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
    make_parser,
    over_seeds,
    ranking,
    stored_views,
    train,
    view_scores,
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
FAST_SAMPLING = {"widths": [64, 128], "steps": 6, "person_guidance": 1.0}
"""Small network and six sampling steps: two cores generate 12,000 images in minutes."""
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
    """Train missing runs and print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=1, help="seeds per arm; all share warm starts")
    parser.set_defaults(fresh=None)
    options = parser.parse_args()
    reference = train(options, "warm", on_market(STARTS["warm"]))
    arms = {name: on_market(ARMS[name]) for name in options.arms}
    if any(arm.start == "warm_gan" for arm in arms.values()):
        train(options, "warm_gan", on_market(STARTS["warm_gan"]))
    if "diffusion" in arms:
        views_on_disk = stored_views(diffusion_groups(options))
        arms["diffusion"] = on_market(ARMS["diffusion"], views_on_disk)
    rankings = {"before": [ranking(reference)], **over_seeds(options, arms)}
    scores = {
        name: view_scores(options.out / name, reference)
        for name in ("joint_1", "warm_gan", "warm_diffusion")
        if (options.out / name / "done").exists()
    }
    print(as_json({"ranking": rankings, "views": scores, "environment": environment()}))


def on_market(run: Run, *overrides: str) -> Run:
    """Return the run on Market-1501, with additional overrides."""
    return replace(run, overrides=["data.name=market1501", *run.overrides, *overrides])


def diffusion_groups(options: Namespace) -> Path:
    """Train the diffusion model, then generate one view of every training image."""
    start = on_market(STARTS["warm_diffusion"], diffusion_network(options, **FAST_SAMPLING))
    folder: Path = options.out / "groups_diffusion"
    words = ["generate", str(train(options, "warm_diffusion", start)), "--out", str(folder)]
    reid_gen([*words, "--members", "1"])
    return folder


if __name__ == "__main__":
    main()
