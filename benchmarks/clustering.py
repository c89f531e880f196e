"""Time, memory and scaling of pseudo labels of N images, here and in the dense implementation.

Every measurement runs in a separate process, after a warm-up on a few images that compiles the
code. Features are generated once per size into --work, in float32, or in memory-mapped float16 for
more than 100,000 images.

    python -m benchmarks.clustering --work /tmp/features --sizes 12936 32621 --dense 12936
    python -m benchmarks.clustering --work /tmp/features --sizes 1000000
    python -m benchmarks.clustering --work /tmp/features --check 12936

--check compares labels with the dense definition in float64 at several radii and seeds, with
duplicate images, and reports how many labels differ. Prints one JSON object; --plot FILE plots time
and memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.cluster import DBSCAN

from benchmarks.dense_jaccard import dense_distances, dense_labels
from benchmarks.features import CROWDS, make_features
from reid_gen.choices import KnnName
from reid_gen.cluster.algorithms import dbscan
from reid_gen.cluster.jaccard import jaccard_distances
from reid_gen.cluster.knn.neighbours import nearest
from reid_gen.cluster.pseudo_labels import FixedEps, pseudo_labels
from reid_gen.evaluation.clustering_metrics import clustering_quality
from reid_gen.files import as_json
from reid_gen.runtime.precision import resolve_dtype
from reid_gen.training.run import environment
from reid_gen.types import Float32Array, Int64Array

K1, K2, EPS, MIN_SAMPLES = 30, 6, 0.5, 4
RADII, SEEDS = (0.4, 0.5, 0.6, 0.7), (0, 1, 2)
"""Radii and seeds of the comparison with the dense definition."""
HALF_FROM = 100_001
"""Smallest number of images whose features are stored in float16."""
WARM_UP = 5_000
"""Number of images of the warm-up; more than one tile, so that all code is compiled."""


def main() -> None:
    """Run all measurements, or a single one in a child process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for features")
    parser.add_argument("--sizes", type=int, nargs="*", default=[], choices=list(CROWDS))
    parser.add_argument("--dense", type=int, nargs="*", default=[], choices=list(CROWDS))
    parser.add_argument("--check", type=int, nargs="*", default=[], choices=list(CROWDS))
    parser.add_argument("--size", type=int, default=2048, help="feature size")
    parser.add_argument("--neighbours", default="exact")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(as_json(measure(options, options.one[0], int(options.one[1])), None))
        return
    for count in {*options.sizes, *options.dense}:
        prepare(options, count)
    methods = {"ours": options.sizes, "dense": options.dense}
    results = {
        method: {n: measure_in_process(options, method, n) for n in sizes}
        for method, sizes in methods.items()
    }
    about = {
        "labels_that_differ": {count: check(options.size, count) for count in options.check},
        "growth": growth(results["ours"]),
        "dense_over_ours": ratios(results["dense"], results["ours"]),
        "environment": environment(),
    }
    if options.plot is not None:
        plot(results, options.plot)
    print(as_json({**results, **about}))


def feature_file(options: argparse.Namespace, count: int) -> Path:
    """Return the path of the features of ``count`` images."""
    return Path(options.work) / f"features_{count}_{options.size}.npy"


def prepare(options: argparse.Namespace, count: int) -> None:
    """Generate features and their pids unless the files exist."""
    path = feature_file(options, count)
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".partial.npy")
    dtype = np.float16 if count >= HALF_FROM else np.float32
    shape = (count, options.size)
    features = np.lib.format.open_memmap(aside, mode="w+", dtype=dtype, shape=shape)
    pids = make_features(replace(CROWDS[count], size=options.size), count, 0, features)
    features.flush()
    np.save(path.with_suffix(".pids.npy"), pids)
    aside.rename(path)


def measure_in_process(options: argparse.Namespace, method: str, count: int) -> dict[str, Any]:
    """Run one measurement in a child process."""
    words = ["--work", str(options.work), "--size", str(options.size)]
    words += ["--neighbours", options.neighbours, "--one", method, str(count)]
    command = [sys.executable, "-m", "benchmarks.clustering", *words]
    completed = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(completed.stdout.splitlines()[-1])
    return result


def measure(options: argparse.Namespace, method: str, count: int) -> dict[str, object]:
    """Measure wall time, CPU time and additional memory of one method."""
    path = feature_file(options, count)
    features = np.load(path, mmap_mode="r" if count >= HALF_FROM else None)
    pids = np.load(path.with_suffix(".pids.npy"))
    warm_up_features = np.ascontiguousarray(features[:WARM_UP])
    ours(warm_up_features, options.neighbours, {})
    phases: dict[str, float] = {}
    before, started = memory("VmRSS"), (time.perf_counter(), cpu_seconds())
    recall = 1.0
    if method == "ours":
        labels, recall = ours(features, options.neighbours, phases)
    else:
        labels = dense_labels(features, K1, K2, EPS, MIN_SAMPLES)
    return {
        "seconds": round(time.perf_counter() - started[0], 2),
        "processor_seconds": round(cpu_seconds() - started[1], 2),
        "added_gib": round(memory("VmHWM") - before, 2),
        "phases": {name: round(value, 4) for name, value in phases.items()},
        "recall": round(recall, 4),
        "clusters": int(labels.max()) + 1,
        "outliers": round(float((labels < 0).mean()), 4),
        "ari": round(clustering_quality(labels, pids)["ari"], 4),
        "products_per_second": products_per_second(features.shape[1]),
    }


def ours(
    features: Float32Array, method: KnnName, phases: dict[str, float]
) -> tuple[Int64Array, float]:
    """Run the steps of `pseudo_labels` with timers; return labels and neighbour recall."""
    with timer(phases, "neighbours"):
        neighbours = nearest(features, K1, method)
    with timer(phases, "after neighbours"):
        with timer(phases, "jaccard"):
            distance = jaccard_distances(features, neighbours, k1=K1, k2=K2, max_distance=EPS)
        with timer(phases, "dbscan"):
            labels = dbscan(distance, EPS, MIN_SAMPLES)
    return labels, neighbours.recall


@contextmanager
def timer(phases: dict[str, float], name: str) -> Iterator[None]:
    """Store the duration of the block in ``phases``."""
    start = time.perf_counter()
    yield
    phases[name] = time.perf_counter() - start


def check(size: int, count: int) -> dict[str, list[int]]:
    """Count labels that differ from the dense definition in float64, by radius and seed."""
    differing: dict[str, list[int]] = {str(eps): [] for eps in RADII}
    for seed in SEEDS:
        features = np.empty((count, size), np.float32)
        make_features(replace(CROWDS[count], size=size), count, seed, features)
        features[100:110] = features[100]
        features[-5:] = features[7]
        distance = np.round(dense_distances(features, K1, K2, np.float64), 9)
        np.fill_diagonal(distance, 0)
        for eps in RADII:
            reference = DBSCAN(eps=eps, min_samples=MIN_SAMPLES, metric="precomputed")
            labels = pseudo_labels(
                features, eps=FixedEps(eps), k1=K1, k2=K2, min_samples=MIN_SAMPLES
            ).labels
            differing[str(eps)].append(int((labels != reference.fit_predict(distance)).sum()))
    return differing


def growth(ours: Mapping[int, dict[str, Any]]) -> dict[str, float]:
    """Compute the log-log slope of each phase's time between the smallest and largest N."""
    if len(ours) < 2:
        return {}
    low, high = min(ours), max(ours)
    ratio = np.log(high / low)
    first, last = (ours[count]["phases"] for count in (low, high))
    return {
        name: round(float(np.log(last[name] / value) / ratio), 2) for name, value in first.items()
    }


def ratios(
    dense: Mapping[int, dict[str, Any]], ours: Mapping[int, dict[str, Any]]
) -> dict[int, dict[str, float]]:
    """Compute the cost of the dense implementation relative to ours, for sizes with both."""
    keys = ("seconds", "processor_seconds", "added_gib")
    return {
        count: {key: round(dense[count][key] / ours[count][key], 1) for key in keys}
        for count in sorted(dense.keys() & ours.keys())
    }


def products_per_second(width: int) -> float:
    """Measure the matrix product of the neighbour search in 10^9 multiply-adds per second.

    In float32 on a GPU, otherwise in bfloat16 if the CPU supports it.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = resolve_dtype("bf16", device) if device.type == "cpu" else torch.float32
    left, right = (torch.rand(n, width, device=device).to(precision) for n in (512, 8192))
    float(torch.mm(left, right.T)[0, 0])
    start = time.perf_counter()
    for _ in range(5):
        product = torch.mm(left, right.T)
    float(product[0, 0])  # waits for a GPU
    return round(5 * 512 * 8192 * width / (time.perf_counter() - start) / 1e9, 1)


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and its children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def memory(name: str) -> float:
    """Return a value of the process status, such as VmRSS or VmHWM, in GiB."""
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 2**20
    raise KeyError(name)


def plot(results: Mapping[str, Mapping[int, dict[str, Any]]], path: Path) -> None:
    """Plot time and memory over N."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6))
    for axis, key, name in zip(
        axes, ("seconds", "added_gib"), ("seconds", "additional memory, GiB"), strict=True
    ):
        for method in ("ours", "dense"):
            runs = sorted(results[method].items())
            if runs:
                axis.loglog([n for n, _ in runs], [run[key] for _, run in runs], "o-", label=method)
        axis.set_xlabel("images")
        axis.set_ylabel(name)
        axis.grid(True, which="both", alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
