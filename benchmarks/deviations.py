"""Ablation of each deviation from GCL's released code, one at a time, on rendered pedestrians.

The feature size is scored by the ranking of the baseline; deviations of the generator's training by
its views after 200 steps; deviations of the encoder's training by the ranking after two joint
epochs. There is one seed, so that small differences are noise.

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
    make_parser,
    map_jobs,
    ranking,
    slug,
    train,
    train_starts,
    view_scores,
)
from reid_gen.files import as_json
from reid_gen.training.run import environment

GENERATOR_STAGE = "{{name: generator, trains: [generator], epochs: 1, iterations: 200, {rate}}}"
SLOW, FAST = "generator_learning_rate: 1.0e-4", "generator_learning_rate: 5.0e-4"
SHORT = f"{{name: joint, {BOTH}, epochs: 2, decay_every: null, {IDENTITY}}}"
PAIRS = "{prototype: 0.5, view_instance: 0.3, view_cluster: 0.3, real_cluster: 0.3}"


def generator_run(*overrides: str, rate: str = FAST) -> Run:
    """Train a generator with the warm identity encoder and some changed settings."""
    return Run(GENERATOR_STAGE.format(rate=rate), start="warm", overrides=overrides)


def joint_run(*overrides: str) -> Run:
    """Train a joint stage with GCL's pair terms and some changed settings."""
    return Run(SHORT, PAIRS, overrides=overrides)


BASELINES = {
    "warm": STARTS["warm"],
    "warm_512": replace(
        STARTS["warm"], overrides=[*STARTS["warm"].overrides, "encoder.embedding=512"]
    ),
}
"""The baseline that all runs start from, and one with a 512-dimensional embedding layer."""
# Names are those of run folders, which are reused.
GENERATORS = {
    "ours": generator_run(),
    "interleaved stripes": generator_run("generator.stripes=interleaved"),
    "the view's features not tied": generator_run("generator.feature_of_view=false"),
    "angles of 45 to 270": generator_run(
        "generator.angles.kind=steps", "generator.angles.every=45", "generator.angles.last=270"
    ),
    "angles of 45 to 315": generator_run(
        "generator.angles.kind=steps", "generator.angles.every=45", "generator.angles.last=315"
    ),
    "no pyramid": generator_run("generator.structure.pyramid=false"),
    "a penalty at every step": generator_run("generator.discriminator.penalty_every=1"),
    "learning rate 1e-4": generator_run(rate=SLOW),
    "maps of parts": generator_run("generator.map=parts"),
    "grey maps": generator_run("generator.map=grey"),
    "borders reflected": generator_run("generator.padding=reflect"),
    "all pixels alike": generator_run("generator.body_weight=1"),
}
JOINT_RUNS = {
    "ours": joint_run(),
    "positive from the bank": joint_run("loss.pairs.positive_from_batch=false"),
    "the view's negatives": joint_run("loss.pairs.own_negatives=false"),
    "512 random negatives": joint_run("loss.pairs.negatives=512"),
    "statistics of all pictures": joint_run("generator.statistics=all"),
    "each moves the other": joint_run("generator.ema_momentum=null"),
    "generator at 1e-5": joint_run("stages.0.generator_learning_rate=1.0e-5"),
}


def main() -> None:
    """Train missing runs and print the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    options = parser.parse_args()
    train_starts(options)
    tables = {}
    for name in options.tables:
        runs, score = TABLES[name]
        scores = map_jobs(partial(score, options), list(runs.items()), options.together)
        tables[name] = dict(zip(runs, scores, strict=True))
    print(as_json({**tables, "environment": environment()}))


def score_generator(options: Namespace, item: tuple[str, Run]) -> dict[str, float]:
    """Train a generator and score its views."""
    name, run = item
    return view_scores(train(options, f"draw_{slug(name)}", run), options.judge)["generated"]


def score_joint_run(options: Namespace, item: tuple[str, Run]) -> dict[str, float]:
    """Train generator and encoder jointly and score the encoder's ranking."""
    name, run = item
    return ranking(train(options, f"joint_{slug(name)}", run))


def score_baseline(options: Namespace, item: tuple[str, Run]) -> dict[str, float]:
    """Train an encoder without views and score its ranking."""
    name, run = item
    return ranking(train(options, name, run))


TABLES = {
    "start": (BASELINES, score_baseline),
    "views": (GENERATORS, score_generator),
    "ranking": (JOINT_RUNS, score_joint_run),
}
"""Table -> its runs, and the function that trains and scores one."""


if __name__ == "__main__":
    main()
