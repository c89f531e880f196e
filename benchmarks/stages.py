"""Speed and memory of every stage of a configuration, and of view generation, on this machine.

Each stage runs for two short epochs; the first is a warm-up, the second is reported. Then the run's
generator, if there is one, generates views of the queries.

    python -m benchmarks.stages --config configs/gcl_market.yaml --set data.root=data

--gpu-gib limits the GPU memory of the process. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from reid_gen.body.table import load_table
from reid_gen.builders.saved_run import open_run
from reid_gen.cli.main import main as reid_gen
from reid_gen.config.load import load_config
from reid_gen.data.datasets import load_dataset
from reid_gen.files import as_json
from reid_gen.training.metrics_log import read_metrics
from reid_gen.training.run import environment

DEGREES = np.array([90, 180, 270], dtype=np.float32)
QUERIES = 128
REPORTED = ("images_per_second", "seconds_train", "peak_device_memory_gib", "peak_memory_gib")


def main() -> None:
    """Train shortly, generate views and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--steps", type=int, default=40, help="steps per epoch")
    parser.add_argument("--gpu-gib", type=float, help="largest GPU memory in GiB")
    options = parser.parse_args()
    if options.gpu_gib is not None:
        total = torch.cuda.get_device_properties(0).total_memory / 2**30
        torch.cuda.set_per_process_memory_fraction(options.gpu_gib / total)
    with tempfile.TemporaryDirectory() as folder:
        run = train(options.config, [*options.settings, f"runs={folder}"], options.steps)
        records = {str(record["stage"]): record for record in read_metrics(run)[1:]}
        stages = {
            name: {key: round(float(record[key]), 3) for key in REPORTED if key in record}
            for name, record in records.items()
        }
        speed = views_per_second(run)
    print(
        as_json({"stages": stages, "views_per_second": speed, "environment": environment()}, None)
    )


def train(config: Path, settings: Sequence[str], steps: int) -> Path:
    """Train two short epochs of each stage and return the run folder."""
    stages = range(len(load_config(config, settings).stages))
    short = [f"stages.{n}.{key}" for n in stages for key in ("epochs=2", f"iterations={steps}")]
    overrides = [*settings, *short, "evaluation.every=null"]
    resolved = load_config(config, overrides)
    reid_gen(
        ["train", "--config", str(config), *(w for text in overrides for w in ("--set", text))]
    )
    return resolved.runs / resolved.name


def views_per_second(run: Path) -> float | None:
    """Measure the speed of the run's generator after a warm-up; None without a generator."""
    config = load_config(run / "config.yaml")
    if config.generator is None:
        return None
    saved = open_run(run)
    settings, renderer = saved.generator, saved.renderer
    query = load_dataset(config.data.name, config.data.root).query
    assert query is not None
    images = query.images[:QUERIES]
    table = load_table(settings.bodies / "query.npz")
    for _ in range(2):
        start, count = time.perf_counter(), 0
        for _, views in renderer.views(images, table, DEGREES):
            count += views.shape[0] * views.shape[1]
        seconds = time.perf_counter() - start
    return round(count / seconds, 2)


if __name__ == "__main__":
    main()
