"""Images per second of one encoder in torch and in ONNX Runtime, measured in turns in one process.

    python -m benchmarks.runtimes resnet10t.rendered --crops demo/pedestrians/bounding_box_train

The crops calibrate int8; random pixels are encoded, because what they show does not matter for
speed. Prints one JSON object: medians, and each way's ratio to torch in float32.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from reid_gen.data.find_images import find_images
from reid_gen.files import as_json
from reid_gen.inference.export import export_encoder, export_int8
from reid_gen.inference.reid_model import open_encoder
from reid_gen.models.checkpoint import load_encoder
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.training.run import environment

TURNS = 7
CALIBRATED = 256
"""Crops that int8 sees."""


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="run, checkpoint or name of the zoo")
    parser.add_argument("--crops", required=True, help="folder, glob or @list")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        ways, size = _ways(options, Path(folder))
        found = {
            batch: _rates(ways, torch.rand(batch, 3, *size), options.seconds)
            for batch in options.batches
        }
    told = {"images_per_second": found, "input": size, "environment": environment()}
    print(as_json(told))


def _ways(
    options: argparse.Namespace, folder: Path
) -> tuple[dict[str, FeatureExtractor], tuple[int, int]]:
    """Each way to encode, and the size of images."""
    encoder, card = load_encoder(options.model)
    files = {name: folder / f"{name}.onnx" for name in ("fp32", "int8")}
    export_encoder(encoder, card, files["fp32"])
    export_int8(encoder, card, find_images([options.crops])[:CALIBRATED], files["int8"])
    ways = {
        "torch fp32": open_encoder(options.model, "fp32")[0],
        "torch bf16": open_encoder(options.model, "bf16")[0],
        "ONNX Runtime fp32": open_encoder(files["fp32"], "fp32")[0],
        "ONNX Runtime int8": open_encoder(files["int8"], "fp32")[0],
    }
    return ways, (card.height, card.width)


def _rates(
    ways: dict[str, FeatureExtractor], images: torch.Tensor, seconds: float
) -> dict[str, dict[str, float]]:
    """Images per second of each way, in turns, and the ratio to the first."""
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name, encode in ways.items():
            start, passes = time.perf_counter(), 0
            while (spent := time.perf_counter() - start) < seconds:
                encode(images)
                passes += 1
            if turn:  # the first turn warms up
                measured[name].append(passes * len(images) / spent)
    middle = {name: statistics.median(found) for name, found in measured.items()}
    first = next(iter(middle.values()))
    return {
        name: {"median": round(rate, 1), "to torch fp32": round(rate / first, 2)}
        for name, rate in middle.items()
    }


if __name__ == "__main__":
    main()
