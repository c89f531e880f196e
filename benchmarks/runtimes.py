"""Images per second of an encoder in torch and ONNX Runtime, in alternating rounds of one process.

    python -m benchmarks.runtimes resnet10t.rendered --crops demo/pedestrians/bounding_box_train

The crops are for int8 calibration; the timed input is random, because speed does not depend on the
content. Prints one JSON object with medians, and ratios to torch in float32.
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

ROUNDS = 7
CALIBRATION_CROPS = 256
"""Number of crops for int8 calibration."""


def main() -> None:
    """Measure all runtimes and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="run, checkpoint or name in the model zoo")
    parser.add_argument("--crops", required=True, help="folder, glob or @list")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--seconds", type=float, default=1.0, help="duration of each measurement")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        runtimes, size = _load_runtimes(options, Path(folder))
        rates = {
            batch: _rates(runtimes, torch.rand(batch, 3, *size), options.seconds)
            for batch in options.batches
        }
    print(as_json({"images_per_second": rates, "input": size, "environment": environment()}))


def _load_runtimes(
    options: argparse.Namespace, folder: Path
) -> tuple[dict[str, FeatureExtractor], tuple[int, int]]:
    """Load the encoder in each runtime and precision; return them and the input size."""
    encoder, card = load_encoder(options.model)
    files = {name: folder / f"{name}.onnx" for name in ("fp32", "int8")}
    export_encoder(encoder, card, files["fp32"])
    export_int8(encoder, card, find_images([options.crops])[:CALIBRATION_CROPS], files["int8"])
    runtimes = {
        "torch fp32": open_encoder(options.model, "fp32")[0],
        "torch bf16": open_encoder(options.model, "bf16")[0],
        "ONNX Runtime fp32": open_encoder(files["fp32"], "fp32")[0],
        "ONNX Runtime int8": open_encoder(files["int8"], "fp32")[0],
    }
    return runtimes, (card.height, card.width)


def _rates(
    runtimes: dict[str, FeatureExtractor], images: torch.Tensor, seconds: float
) -> dict[str, dict[str, float]]:
    """Measure images per second in alternating rounds, and the ratio to the first runtime."""
    measured: dict[str, list[float]] = {name: [] for name in runtimes}
    for round_index in range(ROUNDS + 1):
        for name, encode in runtimes.items():
            start, passes = time.perf_counter(), 0
            while (elapsed := time.perf_counter() - start) < seconds:
                encode(images)
                passes += 1
            if round_index:  # the first round is a warm-up
                measured[name].append(passes * len(images) / elapsed)
    medians = {name: statistics.median(rates) for name, rates in measured.items()}
    first = next(iter(medians.values()))
    return {
        name: {"median": round(rate, 1), "to torch fp32": round(rate / first, 2)}
        for name, rate in medians.items()
    }


if __name__ == "__main__":
    main()
