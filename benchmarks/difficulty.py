"""Difficulty of a data set: scores of chance, colour histograms, initial weights and supervision.

Run with ``python -m benchmarks.difficulty --config FILE [--set A.B=C] [--onto FILE]``. With
``--supervised`` the encoder is trained with the true pids instead of pseudo labels: an upper bound
for the same encoder, loss and schedule, and the way the built-in weights were trained. ``--onto``
names the configuration of another data set to evaluate the supervised encoder on (direct transfer).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from safetensors.torch import save_file

from reid_gen.builders.experiment import build_evaluator, build_experiment
from reid_gen.config.load import load_config
from reid_gen.config.schema import Config
from reid_gen.data.datasets import load_dataset
from reid_gen.evaluation.evaluator import Evaluator
from reid_gen.files import as_json
from reid_gen.runtime.progress import Terminal
from reid_gen.training.experiment import Experiment
from reid_gen.training.run import environment
from reid_gen.training.stages import epochs_of
from reid_gen.types import Float32Array, LabelledSplit

STRIPES, BINS = 6, 16


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--supervised", action="store_true", help="also train with true pids")
    parser.add_argument("--save", type=Path, help="file for that backbone in half precision")
    parser.add_argument("--onto", type=Path, help="configuration of another data set to test")
    parser.add_argument("--set-onto", dest="onto_overrides", action="append", default=[])
    options = parser.parse_args()
    config = load_config(options.config, options.overrides)
    experiment = build_experiment(config, Terminal())
    evaluator = experiment.evaluator
    assert evaluator is not None, "a labelled data set is needed"
    result = {
        **environment(),
        "data": experiment.about["data"],
        "chance": scores(evaluator, chance(evaluator.query, 0), chance(evaluator.gallery, 1)),
        "colours": scores(evaluator, *(colours(evaluator, name) for name in ("query", "gallery"))),
        "start weights": scores(evaluator, *evaluator.features(experiment.trainer.encode)),
    }
    if options.supervised:
        train_with_labels(experiment, config)
        result["supervised"] = scores(evaluator, *evaluator.features(experiment.trainer.encode))
        if options.save:
            state = experiment.trainer.encoder.backbone.state_dict()
            save_file(
                {name: value.half().contiguous() for name, value in state.items()}, options.save
            )
        if options.onto:
            target_config = load_config(options.onto, options.onto_overrides)
            target = build_evaluator(
                target_config,
                load_dataset(target_config.data.name, target_config.data.root),
                Terminal(),
            )
            transferred = scores(target, *target.features(experiment.trainer.encode))
            result[f"supervised, onto {target_config.data.name}"] = transferred
    print(as_json(result))


def scores(evaluator: Evaluator, query: Float32Array, gallery: Float32Array) -> dict[str, float]:
    """Compute mAP and rank-1 in percent, and print them."""
    result = evaluator.score(query, gallery)[0]
    percent = {"mAP": round(100 * result.mean_ap, 2), "rank-1": round(100 * result.cmc[1], 2)}
    print(percent, flush=True)
    return percent


def chance(split: LabelledSplit, seed: int) -> Float32Array:
    """Draw random unit features, [N, 64]."""
    return l2_normalise(np.random.default_rng(seed).normal(size=(len(split.images), 64)))


def colours(evaluator: Evaluator, name: str) -> Float32Array:
    """Compute normalised HSV histograms of horizontal stripes, [N, 6 * 48]."""
    split: LabelledSplit = getattr(evaluator, name)
    rows = []
    for batch in evaluator.make_loader(split).in_order(evaluator.batch):
        for pixels in batch.pixels:
            stripes = np.array_split(np.asarray(Pillow.fromarray(pixels).convert("HSV")), STRIPES)
            counts = [
                np.bincount(stripe[..., channel].ravel() // (256 // BINS), minlength=BINS)
                for stripe in stripes
                for channel in range(3)
            ]
            rows.append(np.concatenate(counts))
    return l2_normalise(np.sqrt(np.array(rows)))


def l2_normalise(rows: NDArray[np.floating]) -> Float32Array:
    """Scale rows to unit length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def train_with_labels(experiment: Experiment, config: Config) -> None:
    """Train all stages with true pids instead of pseudo labels."""
    trainer = experiment.trainer
    pids = load_dataset(config.data.name, config.data.root).train_pids
    assert pids is not None, "a labelled data set is needed"
    labels = np.unique(pids, return_inverse=True)[1].astype(np.int64)
    trainer.stages = [replace(stage, labels=labels) for stage in trainer.stages]
    for position in epochs_of(trainer.stages):
        record = trainer.epoch(position).record
        print({name: record[name] for name in ("loss_prototype", "seconds_train")}, flush=True)


if __name__ == "__main__":
    main()
