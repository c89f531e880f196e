"""What each difference from GCL's release does, one at a time, on rendered pedestrians.

The length of the feature is measured by ranking after the baseline that all start from, differences
in how the generator learns on its views after 200 steps, those in how the identity encoder learns
by ranking after two joint epochs; with one seed, so that small effects are noise.

    python -m benchmarks.deviations --root demo/pedestrians --weights FILE --out runs_arms \
        --judge runs/baseline_pedestrians

--judge names the run of the reference encoder, which never saw generated images. --tables selects
tables. Existing runs are reused. Prints one JSON object.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.small_runs import (
    BOTH,
    IDENTITY,
    STARTS,
    Run,
    each,
    options_of,
    ranking,
    slug,
    train,
    train_starts,
    views,
)
from reid_gen.files import as_json
from reid_gen.training.run import environment

DRAW = "{{name: generator, trains: [generator], epochs: 1, iterations: 200, {rate}}}"
SLOW, FAST = "generator_learning_rate: 1.0e-4", "generator_learning_rate: 5.0e-4"
SHORT = f"{{name: joint, {BOTH}, epochs: 2, decay_every: null, {IDENTITY}}}"
PAIRS = "{prototype: 0.5, view_instance: 0.3, view_cluster: 0.3, real_cluster: 0.3}"


def drawing(*overrides: str, rate: str = FAST) -> Run:
    """A generator that learns from the start, with some settings changed."""
    return Run(DRAW.format(rate=rate), start="warm", overrides=overrides)


def joint(*overrides: str) -> Run:
    """A joint stage with GCL's pair terms, with some settings changed."""
    return Run(SHORT, PAIRS, overrides=overrides)


BEGINNINGS = {
    "warm": STARTS["warm"],
    "warm_512": replace(
        STARTS["warm"], overrides=[*STARTS["warm"].overrides, "encoder.embedding=512"]
    ),
}
"""The baseline that all start from, and one whose feature goes through a layer to 512 numbers."""
DRAWINGS = {
    "ours": drawing(),
    "interleaved stripes": drawing("generator.stripes=interleaved"),
    "the view's features not tied": drawing("generator.feature_of_view=false"),
    "angles of 45 to 270": drawing(
        "generator.angles.kind=steps", "generator.angles.every=45", "generator.angles.last=270"
    ),
    "angles of 45 to 315": drawing(
        "generator.angles.kind=steps", "generator.angles.every=45", "generator.angles.last=315"
    ),
    "no pyramid": drawing("generator.structure.pyramid=false"),
    "a penalty at every step": drawing("generator.discriminator.penalty_every=1"),
    "learning rate 1e-4": drawing(rate=SLOW),
    "maps of parts": drawing("generator.map=parts"),
    "grey maps": drawing("generator.map=grey"),
    "borders reflected": drawing("generator.padding=reflect"),
    "all pixels alike": drawing("generator.body_weight=1"),
}
JOINTS = {
    "ours": joint(),
    "positive from the bank": joint("loss.pairs.positive_from_batch=false"),
    "the view's negatives": joint("loss.pairs.own_negatives=false"),
    "512 random negatives": joint("loss.pairs.negatives=512"),
    "statistics of all pictures": joint("generator.statistics=all"),
    "each moves the other": joint("generator.ema_momentum=null"),
    "generator at 1e-5": joint("stages.0.generator_learning_rate=1.0e-5"),
}


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = options_of(__doc__)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    options = parser.parse_args()
    train_starts(options)
    found = {}
    for table in options.tables:
        runs, measure = TABLES[table]
        values = each(partial(measure, options), list(runs.items()), options.together)
        found[table] = dict(zip(runs, values, strict=True))
    print(as_json({**found, "environment": environment()}))


def score(options: Namespace, item: tuple[str, Run]) -> dict[str, float]:
    """Score the views of one generator."""
    run = train(options, f"draw_{slug(item[0])}", item[1])
    return views(run, options.judge)["generated"]


def rank(options: Namespace, item: tuple[str, Run]) -> dict[str, float]:
    """By one identity encoder."""
    return ranking(train(options, f"joint_{slug(item[0])}", item[1]))


def begin(options: Namespace, item: tuple[str, Run]) -> dict[str, float]:
    """By an identity encoder before any view."""
    return ranking(train(options, item[0], item[1]))


TABLES = {"start": (BEGINNINGS, begin), "views": (DRAWINGS, score), "ranking": (JOINTS, rank)}


if __name__ == "__main__":
    main()
