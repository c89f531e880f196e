"""Evaluation of ranking at the size of real sets: ours beside the classic way and public packages.

Every measurement runs in a process of its own, on features like re-ID's (``benchmarks.features``),
and begins with features in memory. The classic way and the packages take a matrix of all distances,
which is made for them, and sort the gallery for each query.

    python -m benchmarks.ranking --work /tmp/features --sets market msmt17
    python -m benchmarks.ranking --work /tmp/features --sets million --ways ours

``million`` ranks a memory-mapped float16 gallery. torchreid and boxmot are measured where they are
installed. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.clustering import memory, processor_seconds
from benchmarks.features import Crowd, make_features
from reid_gen.evaluation.ranking import evaluate_blocks, evaluate_ranking
from reid_gen.evaluation.rerank import Reranked
from reid_gen.files import as_json
from reid_gen.training.run import environment
from reid_gen.types import Float32Array, Int64Array

SETS = {
    "market": (3_368, 15_913, Crowd(750, 6)),
    "msmt17": (11_659, 82_161, Crowd(3_060, 15)),
    "million": (1_000, 1_000_000, Crowd(50_000, 15)),
}
"""Queries, gallery images, and how many people and cameras."""
Scored = tuple[Float32Array, Float32Array, Int64Array, Int64Array, Int64Array, Int64Array]
"""Features of query and gallery, their pids, their camids."""


def main() -> None:
    """Measure, or be one measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for features")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=["market"])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(as_json(measure(options.work, options.sets[0], options.ways[0]), None))
        return
    found: dict[str, dict[str, object]] = {}
    for name in options.sets:
        prepare(options.work, name)
        found[name] = {way: apart(options.work, name, way) for way in options.ways}
    print(as_json({**found, "environment": environment()}))


def prepare(work: Path, name: str) -> None:
    """Make features, pids and camids that are not there yet."""
    path = work / f"ranking_{name}.npy"
    if path.exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    queries, images, crowd = SETS[name]
    count = queries + images
    dtype = np.float16 if name == "million" else np.float32
    aside = path.with_suffix(".partial.npy")
    features = np.lib.format.open_memmap(aside, mode="w+", dtype=dtype, shape=(count, crowd.size))
    pids = make_features(crowd, count, 0, features)
    features.flush()
    np.save(path.with_suffix(".pids.npy"), pids)
    aside.rename(path)


def load(work: Path, name: str) -> Scored:
    """Queries drawn at random, and the gallery; cameras are random too."""
    path = work / f"ranking_{name}.npy"
    features = np.load(path, mmap_mode="r" if name == "million" else None)
    pids = np.load(path.with_suffix(".pids.npy"))
    rng = np.random.default_rng(1)
    camids = rng.integers(0, SETS[name][2].cameras, len(pids))
    queries = SETS[name][0]
    order = rng.permutation(len(pids))
    some = np.sort(order[:queries])
    # A gallery that lies on disk is one piece of it, which the queries belong to.
    rest = slice(None) if name == "million" else np.sort(order[queries:])
    return features[some], features[rest], pids[some], pids[rest], camids[some], camids[rest]


def apart(work: Path, name: str, way: str) -> dict[str, object] | None:
    """One measurement in a process of its own; None if its package is not installed."""
    words = ["--work", str(work), "--sets", name, "--ways", way, "--one"]
    command = [sys.executable, "-m", "benchmarks.ranking", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, object] | None = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(work: Path, name: str, way: str) -> dict[str, object] | None:
    """Seconds (wall and processor) and added memory."""
    score: Callable[..., float] = WAYS[way]
    with contextlib.suppress(ImportError):
        scored = load(work, name)
        few = np.arange(100)
        score(scored[0][:100], scored[1][:100], few, few, few, few + 1)  # compiles
        before, started = memory("VmRSS"), (time.perf_counter(), processor_seconds())
        found = score(*scored)
        return {
            "seconds": round(time.perf_counter() - started[0], 2),
            "processor_seconds": round(processor_seconds() - started[1], 2),
            "added_gib": round(memory("VmHWM") - before, 2),
            "mAP": round(100 * found, 6),
        }
    return None


def ours(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """In blocks; ranks of matches are counted."""
    return evaluate_ranking(query, gallery, *labels).mean_ap


def product(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """The cosines of all pairs alone, which every way needs; its score is none."""
    return float((query @ gallery.T)[0, 0])


def reranked(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """With k-reciprocal re-ranking, in blocks."""
    return evaluate_blocks(Reranked(query, gallery), *labels).mean_ap


def classic(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """All distances, a sorted matrix of them, and a loop over queries."""
    query_pids, gallery_pids, query_camids, gallery_camids = labels
    order = np.argsort(1 - query @ gallery.T, axis=1, kind="stable")
    precisions = []
    for own, pid, camid in zip(order, query_pids, query_camids, strict=True):
        kept = own[(gallery_pids[own] != pid) | (gallery_camids[own] != camid)]
        ranks = np.flatnonzero(gallery_pids[kept] == pid) + 1
        if len(ranks):
            precisions.append(float((np.arange(1, len(ranks) + 1) / ranks).mean()))
    return float(np.mean(precisions))


def torchreid(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """Its Python code; the Cython code has to be compiled."""
    package = importlib.import_module("torchreid.reid.metrics.rank")
    return float(package.eval_market1501(1 - query @ gallery.T, *labels, 50)[1])


def torchreid_reranked(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """Its re-ranking, which takes Euclidean distances, and its Python code."""
    package = importlib.import_module("torchreid.reid.utils.rerank")
    pairs = ((query, gallery), (query, query.copy()), (gallery, gallery.copy()))
    distances = [np.sqrt(np.maximum(2 - 2 * one @ other.T, 0)) for one, other in pairs]
    score = importlib.import_module("torchreid.reid.metrics.rank").eval_market1501
    return float(score(package.re_ranking(*distances), *labels, 50)[1])


def boxmot(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """Row by row."""
    package = importlib.import_module("boxmot.reid.training.evaluator")
    return float(package.evaluate_ranking(1 - query @ gallery.T, *labels)[1])


WAYS = {
    way.__name__: way
    for way in (ours, product, classic, boxmot, torchreid, reranked, torchreid_reranked)
}


if __name__ == "__main__":
    main()
