"""Effect of generated views: training with and without them, over several seeds.

All arms start from the same identity encoder and generator, see the same number of real images, and
differ in their last stage:

- baseline: prototype contrast with real images only;
- views: contrast with the views of the frozen generator as well;
- joint: as views, and generator and discriminator are trained on a quarter of the images;
- gcl_plus: as joint, with mixup of identities before generation;
- true: contrast with true views from the renderer, an upper bound for generators.

    python -m benchmarks.arms --root demo/pedestrians --weights FILE --out runs_arms

With --fresh FOLDER, another rendered data set with new people and cameras, every run is evaluated
there too. FILE holds ImageNet weights of MobileNetV2 for the backbone of --backbone.
Existing runs are reused, so a killed measurement can be resumed. Prints one JSON object.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.small_runs import (
    BASELINE,
    BOTH,
    LAST,
    VIEWS,
    Run,
    make_parser,
    over_seeds,
    stored_views,
    summary,
    train_starts,
)
from benchmarks.true_views import write_true_views
from reid_gen.files import as_json
from reid_gen.training.run import environment

MIXUP = "{prototype: 1.0, view_prototype: 1.0, mixup: 0.5}"
ARMS = {
    "baseline": BASELINE,
    "views": Run(f"{{name: views, views: true, {LAST}}}", VIEWS),
    "joint": Run(f"{{name: joint, {BOTH}, {LAST}}}", VIEWS),
    "gcl_plus": Run(
        f"{{name: joint, {BOTH}, {LAST}}}", MIXUP, overrides=["generator.mixup_alpha=0.6"]
    ),
    "true": Run(f"{{name: views, views: true, {LAST}}}", VIEWS),
}


def main() -> None:
    """Train missing runs and print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    parser.add_argument("--fresh", type=Path, help="another rendered data set to evaluate on")
    options = parser.parse_args()
    train_starts(options)
    groups = options.out / "true_views"
    write_true_views(options.root, groups)
    arms = {**ARMS, "true": replace(ARMS["true"], overrides=[stored_views(groups)])}
    table = {arm: summary(runs) for arm, runs in over_seeds(options, arms).items()}
    print(as_json({**table, "environment": environment()}))


if __name__ == "__main__":
    main()
