"""A training run that is small enough for a test."""

from pathlib import Path
from typing import Any

import pytest

from reid_gen.builders.experiment import build_experiment
from reid_gen.config.dump import dump_config
from reid_gen.config.load import load_config
from reid_gen.config.schema import Config
from reid_gen.runtime.progress import Silent
from reid_gen.training import run as run_module
from reid_gen.training.experiment import Experiment
from reid_gen.training.run import start_run

CONFIG = """\
name: tiny
seed: 3
runs: {runs}
data: {{name: market1501, root: {root}, height: 64, width: 32, workers: 2}}
encoder: {{backbone: resnet18, pooling: avg, ghost_batch: 16, precision: fp32}}
augment: {{flip: 0.5, pad: 2, erase: 0.3}}
sampler: {{batch: 16, instances: 4}}
clustering: {{k1: 6, k2: 2, min_samples: 2, eps: {{kind: fixed, value: 0.6}}}}
stages:
  - {{name: identity, epochs: 2, iterations: 4, learning_rate: 3.5e-4}}
evaluation: {{batch: 32}}
"""


def write_config(folder: Path, root: Path) -> Path:
    """Write a configuration for a small Market-1501 at ``root``; runs go to ``folder``/runs."""
    file = folder / "tiny.yaml"
    file.write_text(CONFIG.format(runs=folder / "runs", root=root))
    return file


def experiment(config: Path, *overrides: str) -> tuple[Experiment, Config]:
    """Build an experiment; returns it with its settings."""
    settings = load_config(config, overrides)
    return build_experiment(settings, Silent()), settings


def train(config: Path, *overrides: str) -> Path:
    """Train a run and return its folder."""
    built, settings = experiment(config, *overrides)
    run = settings.runs / settings.name
    start_run(built, run, dump_config(settings))
    return run


def stop_after(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt the next run as soon as its checkpoint after this many epochs is written."""
    save = run_module._save

    def save_and_stop(*arguments: Any) -> None:
        save(*arguments)
        if arguments[2] == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "_save", save_and_stop)
