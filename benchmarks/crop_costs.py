"""CPU seconds per crop of decoding, encoding and body estimation, for sizing machines.

    OMP_NUM_THREADS=1 python -m benchmarks.crop_costs --crops demo/pedestrians/bounding_box_train

CPU time depends less than elapsed time on what else the machine does. Prints one JSON object with
medians in milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from reid_gen.body.estimate.estimator import RegressorEstimator
from reid_gen.data.find_images import find_images
from reid_gen.data.images import decode
from reid_gen.files import as_json
from reid_gen.inference.reid_model import open_encoder
from reid_gen.models.encoder import EncoderCard, FeatureExtractor, create_encoder
from reid_gen.training.run import environment

BATCH = 32
ROUNDS = 5
SIZES = ((128, 64), (256, 128))


def main() -> None:
    """Measure every cost and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", required=True, help="folder, glob or @list")
    options = parser.parse_args()
    paths = [image.path for image in find_images([options.crops])[:BATCH]]
    costs = {
        f"decode to {height} x {width}": _cost(partial(_decode, paths, height, width), len(paths))
        for height, width in SIZES
    }
    costs |= _encoders()
    estimator = RegressorEstimator()
    pixels = np.zeros((BATCH, estimator.height, estimator.width, 3), np.uint8)
    keys = tuple(str(n) for n in range(BATCH))
    costs["meshes"] = _cost(lambda: estimator(keys, pixels), BATCH)
    file_bytes = statistics.mean(path.stat().st_size for path in paths)
    print(
        as_json(
            {
                "cpu_milliseconds_per_crop": costs,
                "file_bytes_per_crop": round(file_bytes),
                "environment": environment(),
            }
        )
    )


def _decode(paths: Sequence[Path], height: int, width: int) -> None:
    for path in paths:
        decode(path, height, width)


def _encoders() -> dict[str, float]:
    """Measure the built-in encoder, and a ResNet-50 at paper size."""
    built_in, card = open_encoder(Path("resnet10t.rendered"), "fp32")
    paper = EncoderCard("resnet50", "gem", 256, 128)
    encoders: dict[str, tuple[FeatureExtractor, EncoderCard]] = {
        "resnet10t.rendered, torch fp32": (built_in, card),
        "resnet50 at 256 x 128, torch fp32": (create_encoder(paper).eval(), paper),
    }
    costs = {}
    for name, (encode, size) in encoders.items():
        images = torch.rand(BATCH, 3, size.height, size.width)
        with torch.no_grad():
            costs[name] = _cost(partial(encode, images), BATCH)
    return costs


def _cost(compute: Callable[[], object], crops: int) -> float:
    """Measure the median CPU milliseconds per crop."""
    compute()
    costs = []
    for _ in range(ROUNDS):
        start = time.process_time()
        compute()
        costs.append(1000 * (time.process_time() - start) / crops)
    return round(statistics.median(costs), 3)


if __name__ == "__main__":
    main()
