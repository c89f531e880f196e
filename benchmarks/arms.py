"""Do generated views help? The same training with and without them, several seeds, one table.

All arms start from one warm identity encoder and one warm generator, see the same number of real
images, and differ in what their last stage does:

- baseline: prototypes and real images alone;
- views: the warm generator's views of all images are contrasted too, it stays as it is;
- joint: generator and discriminator go on learning, from a quarter of the images;
- gcl_plus: and people are mixed before drawing;
- true: views as the renderer knows them, which no generator can better.

    python -m benchmarks.arms --root demo/pedestrians --weights FILE --out runs_arms

With --fresh FOLDER, another rendered set whose people and cameras nobody has seen, every run is
ranked there too. FILE holds ImageNet weights of MobileNetV2 for the backbone of --backbone.
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
    options_of,
    over_seeds,
    stored,
    summary,
    train_starts,
)
from benchmarks.true_views import write_true_views
from reid_gen.files import as_json
from reid_gen.training.run import environment

MIXED = "{prototype: 1.0, view_prototype: 1.0, mixup: 0.5}"
ARMS = {
    "baseline": BASELINE,
    "views": Run(f"{{name: views, views: true, {LAST}}}", VIEWS),
    "joint": Run(f"{{name: joint, {BOTH}, {LAST}}}", VIEWS),
    "gcl_plus": Run(
        f"{{name: joint, {BOTH}, {LAST}}}", MIXED, overrides=["generator.mixup_alpha=0.6"]
    ),
    "true": Run(f"{{name: views, views: true, {LAST}}}", VIEWS),
}


def main() -> None:
    """Run what is missing, and print the table."""
    parser = options_of(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    parser.add_argument("--fresh", type=Path, help="another rendered set to rank on too")
    options = parser.parse_args()
    train_starts(options)
    groups = options.out / "true_views"
    write_true_views(options.root, groups)
    arms = {**ARMS, "true": replace(ARMS["true"], overrides=[stored(groups)])}
    table = {arm: summary(runs) for arm, runs in over_seeds(options, arms).items()}
    print(as_json({**table, "environment": environment()}))


if __name__ == "__main__":
    main()
