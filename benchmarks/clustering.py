"""Pseudo labels of N images: this engine and the dense implementation: time, memory and growth.

Every measurement runs in a process of its own, after the compiled code was warmed on a few images.
Features are made once per size and lie in --work as float16 beyond 100,000 images (memory-mapped),
else as float32.

    python -m benchmarks.clustering --work /tmp/features --sizes 12936 32621 --dense 12936
    python -m benchmarks.clustering --work /tmp/features --sizes 1000000
    python -m benchmarks.clustering --work /tmp/features --check 12936

--check compares labels with the dense definition in float64, at several radii and with several
seeds, with copies among the images, and prints how many differ. Prints one JSON object; --plot FILE
draws it.
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
WARM = 5_000
"""More than a tile of products, so that everything is compiled."""


def main() -> None:
    """Measure, or be one measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for features")
    parser.add_argument("--sizes", type=int, nargs="*", default=[], choices=list(CROWDS))
    parser.add_argument("--dense", type=int, nargs="*", default=[], choices=list(CROWDS))
    parser.add_argument("--check", type=int, nargs="*", default=[], choices=list(CROWDS))
    parser.add_argument("--size", type=int, default=2048, help="length of a feature")
    parser.add_argument("--neighbours", default="exact")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(as_json(measure(options, options.one[0], int(options.one[1])), None))
        return
    for count in {*options.sizes, *options.dense}:
        prepare(options, count)
    ways = {"ours": options.sizes, "dense": options.dense}
    found = {way: {n: apart(options, way, n) for n in sizes} for way, sizes in ways.items()}
    about = {
        "labels_that_differ": {count: check(options.size, count) for count in options.check},
        "growth": growth(found["ours"]),
        "dense_over_ours": ratios(found["dense"], found["ours"]),
        "environment": environment(),
    }
    if options.plot is not None:
        plot(found, options.plot)
    print(as_json({**found, **about}))


def file_of(options: argparse.Namespace, count: int) -> Path:
    """Where features lie."""
    return Path(options.work) / f"features_{count}_{options.size}.npy"


def prepare(options: argparse.Namespace, count: int) -> None:
    """Make features that are not there yet, and their pids beside them."""
    path = file_of(options, count)
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


def apart(options: argparse.Namespace, way: str, count: int) -> dict[str, Any]:
    """One measurement in a process of its own."""
    words = ["--work", str(options.work), "--size", str(options.size)]
    words += ["--neighbours", options.neighbours, "--one", way, str(count)]
    command = [sys.executable, "-m", "benchmarks.clustering", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(options: argparse.Namespace, way: str, count: int) -> dict[str, object]:
    """Seconds (wall and processor) and added memory of one way."""
    path = file_of(options, count)
    features = np.load(path, mmap_mode="r" if count >= HALF_FROM else None)
    pids = np.load(path.with_suffix(".pids.npy"))
    warm = np.ascontiguousarray(features[:WARM])
    ours(warm, options.neighbours, {})
    phases: dict[str, float] = {}
    before, started = memory("VmRSS"), (time.perf_counter(), processor_seconds())
    recall = 1.0
    if way == "ours":
        labels, recall = ours(features, options.neighbours, phases)
    else:
        labels = dense_labels(features, K1, K2, EPS, MIN_SAMPLES)
    return {
        "seconds": round(time.perf_counter() - started[0], 2),
        "processor_seconds": round(processor_seconds() - started[1], 2),
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
    """What `pseudo_labels` does, with a clock; labels, and the recall of the neighbours."""
    with clock(phases, "neighbours"):
        found = nearest(features, K1, method)
    with clock(phases, "after neighbours"):
        with clock(phases, "jaccard"):
            distance = jaccard_distances(features, found, k1=K1, k2=K2, max_distance=EPS)
        with clock(phases, "dbscan"):
            labels = dbscan(distance, EPS, MIN_SAMPLES)
    return labels, found.recall


@contextmanager
def clock(phases: dict[str, float], name: str) -> Iterator[None]:
    """Adds what it takes to ``phases``."""
    began = time.perf_counter()
    yield
    phases[name] = time.perf_counter() - began


def check(size: int, count: int) -> dict[str, list[int]]:
    """How many labels differ from the dense definition in float64, by radius, for each seed."""
    differing: dict[str, list[int]] = {str(eps): [] for eps in RADII}
    for seed in SEEDS:
        features = np.empty((count, size), np.float32)
        make_features(replace(CROWDS[count], size=size), count, seed, features)
        features[100:110] = features[100]
        features[-5:] = features[7]
        distance = np.round(dense_distances(features, K1, K2, np.float64), 9)
        np.fill_diagonal(distance, 0)
        for eps in RADII:
            rule = DBSCAN(eps=eps, min_samples=MIN_SAMPLES, metric="precomputed")
            ours = pseudo_labels(
                features, eps=FixedEps(eps), k1=K1, k2=K2, min_samples=MIN_SAMPLES
            ).labels
            differing[str(eps)].append(int((ours != rule.fit_predict(distance)).sum()))
    return differing


def growth(ours: Mapping[int, dict[str, Any]]) -> dict[str, float]:
    """Slope of each phase on doubly logarithmic axes, between the smallest and largest N."""
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
    """Ratio of the dense implementation's cost to ours, where both were measured."""
    keys = ("seconds", "processor_seconds", "added_gib")
    return {
        count: {key: round(dense[count][key] / ours[count][key], 1) for key in keys}
        for count in sorted(dense.keys() & ours.keys())
    }


def products_per_second(width: int) -> float:
    """Giga multiply-adds per second of such matrix products as the neighbours are found by.

    In float32 on a GPU, else in bfloat16 where this machine has it.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = resolve_dtype("bf16", device) if device.type == "cpu" else torch.float32
    left, right = (torch.rand(n, width, device=device).to(precision) for n in (512, 8192))
    float(torch.mm(left, right.T)[0, 0])
    began = time.perf_counter()
    for _ in range(5):
        product = torch.mm(left, right.T)
    float(product[0, 0])  # waits for a GPU
    return round(5 * 512 * 8192 * width / (time.perf_counter() - began) / 1e9, 1)


def processor_seconds() -> float:
    """CPU seconds of this process and its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def memory(name: str) -> float:
    """A line of the process's status, in GiB."""
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 2**20
    raise KeyError(name)


def plot(found: Mapping[str, Mapping[int, dict[str, Any]]], path: Path) -> None:
    """Seconds and memory by N."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6))
    for axis, key, name in zip(
        axes, ("seconds", "added_gib"), ("seconds", "memory added, GiB"), strict=True
    ):
        for way in ("ours", "dense"):
            some = sorted(found[way].items())
            if some:
                axis.loglog([n for n, _ in some], [run[key] for _, run in some], "o-", label=way)
        axis.set_xlabel("images")
        axis.set_ylabel(name)
        axis.grid(True, which="both", alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
