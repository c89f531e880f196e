"""Time and memory of ranking evaluation at the size of real data sets, here and in other packages.

Every measurement runs in a separate process, on synthetic features (``benchmarks.features``) that
are in memory at the start. The classic implementation and the packages need the full distance
matrix, which is computed for them, and sort the gallery for each query.

    python -m benchmarks.ranking --work /tmp/features --sets market msmt17
    python -m benchmarks.ranking --work /tmp/features --sets million --ways ours

``million`` ranks a memory-mapped float16 gallery. torchreid and boxmot are measured if they are
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
from typing import NamedTuple

import numpy as np

from benchmarks.clustering import cpu_seconds, memory
from benchmarks.features import Crowd, make_features
from reid_gen.evaluation.ranking import evaluate_blocks, evaluate_ranking
from reid_gen.evaluation.rerank import RerankedDistances
from reid_gen.files import as_json
from reid_gen.training.run import environment
from reid_gen.types import Float32Array, Int64Array


class SetSize(NamedTuple):
    """Size of a data set.

    Attributes:
        queries: Number of queries.
        gallery: Number of gallery images.
        crowd: Parameters of the synthetic features.
    """

    queries: int
    gallery: int
    crowd: Crowd


class RankingInputs(NamedTuple):
    """Arguments of an evaluation, in the order in which every method takes them."""

    query: Float32Array
    gallery: Float32Array
    query_pids: Int64Array
    gallery_pids: Int64Array
    query_camids: Int64Array
    gallery_camids: Int64Array


SETS = {
    "market": SetSize(3_368, 15_913, Crowd(750, 6)),
    "msmt17": SetSize(11_659, 82_161, Crowd(3_060, 15)),
    "million": SetSize(1_000, 1_000_000, Crowd(50_000, 15)),
}


def main() -> None:
    """Run all measurements, or a single one in a child process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for features")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=["market"])
    parser.add_argument("--ways", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(as_json(measure(options.work, options.sets[0], options.ways[0]), None))
        return
    results: dict[str, dict[str, object]] = {}
    for name in options.sets:
        prepare(options.work, name)
        results[name] = {
            method: measure_in_process(options.work, name, method) for method in options.ways
        }
    print(as_json({**results, "environment": environment()}))


def prepare(work: Path, name: str) -> None:
    """Generate features and pids unless the files exist."""
    path = work / f"ranking_{name}.npy"
    if path.exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    size = SETS[name]
    count = size.queries + size.gallery
    dtype = np.float16 if name == "million" else np.float32
    aside = path.with_suffix(".partial.npy")
    shape = (count, size.crowd.size)
    features = np.lib.format.open_memmap(aside, mode="w+", dtype=dtype, shape=shape)
    pids = make_features(size.crowd, count, 0, features)
    features.flush()
    np.save(path.with_suffix(".pids.npy"), pids)
    aside.rename(path)


def load(work: Path, name: str) -> RankingInputs:
    """Load features and pids, and draw the queries and cameras at random."""
    path = work / f"ranking_{name}.npy"
    features = np.load(path, mmap_mode="r" if name == "million" else None)
    pids = np.load(path.with_suffix(".pids.npy"))
    rng = np.random.default_rng(1)
    camids = rng.integers(0, SETS[name].crowd.cameras, len(pids))
    queries = SETS[name].queries
    order = rng.permutation(len(pids))
    q = np.sort(order[:queries])
    # A memory-mapped gallery is not copied, so that it contains the queries, too.
    g = slice(None) if name == "million" else np.sort(order[queries:])
    return RankingInputs(features[q], features[g], pids[q], pids[g], camids[q], camids[g])


def measure_in_process(work: Path, name: str, method: str) -> dict[str, object] | None:
    """Run one measurement in a child process; None if its package is not installed."""
    words = ["--work", str(work), "--sets", name, "--ways", method, "--one"]
    command = [sys.executable, "-m", "benchmarks.ranking", *words]
    completed = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, object] | None = json.loads(completed.stdout.splitlines()[-1])
    return result


def measure(work: Path, name: str, method: str) -> dict[str, object] | None:
    """Measure wall time, CPU time, additional memory and mAP of one method."""
    score: Callable[..., float] = METHODS[method]
    with contextlib.suppress(ImportError):
        inputs = load(work, name)
        ids = np.arange(100)
        score(inputs.query[:100], inputs.gallery[:100], ids, ids, ids, ids + 1)  # compiles
        before, started = memory("VmRSS"), (time.perf_counter(), cpu_seconds())
        mean_ap = score(*inputs)
        return {
            "seconds": round(time.perf_counter() - started[0], 2),
            "processor_seconds": round(cpu_seconds() - started[1], 2),
            "added_gib": round(memory("VmHWM") - before, 2),
            "mAP": round(100 * mean_ap, 6),
        }
    return None


def ours(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """Evaluate in blocks, counting the ranks of matches without sorting."""
    return evaluate_ranking(query, gallery, *labels).mean_ap


def product(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """Compute only the similarities, which every method needs; the result is no score."""
    return float((query @ gallery.T)[0, 0])


def reranked(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """Evaluate with k-reciprocal re-ranking, in blocks."""
    return evaluate_blocks(RerankedDistances(query, gallery), *labels).mean_ap


def classic(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """Sort the full distance matrix and loop over queries, as common code does."""
    query_pids, gallery_pids, query_camids, gallery_camids = labels
    order = np.argsort(1 - query @ gallery.T, axis=1, kind="stable")
    precisions = []
    for row, pid, camid in zip(order, query_pids, query_camids, strict=True):
        ranked = row[(gallery_pids[row] != pid) | (gallery_camids[row] != camid)]
        ranks = np.flatnonzero(gallery_pids[ranked] == pid) + 1
        if len(ranks):
            precisions.append(float((np.arange(1, len(ranks) + 1) / ranks).mean()))
    return float(np.mean(precisions))


def torchreid(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """Evaluate with torchreid's Python code; its Cython code would need a compiler."""
    package = importlib.import_module("torchreid.reid.metrics.rank")
    return float(package.eval_market1501(1 - query @ gallery.T, *labels, 50)[1])


def torchreid_reranked(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """Re-rank Euclidean distances and evaluate with torchreid's Python code."""
    package = importlib.import_module("torchreid.reid.utils.rerank")
    pairs = ((query, gallery), (query, query.copy()), (gallery, gallery.copy()))
    distances = [np.sqrt(np.maximum(2 - 2 * left @ right.T, 0)) for left, right in pairs]
    score = importlib.import_module("torchreid.reid.metrics.rank").eval_market1501
    return float(score(package.re_ranking(*distances), *labels, 50)[1])


def boxmot(query: Float32Array, gallery: Float32Array, *labels: Int64Array) -> float:
    """Evaluate with boxmot, which loops over queries."""
    package = importlib.import_module("boxmot.reid.training.evaluator")
    return float(package.evaluate_ranking(1 - query @ gallery.T, *labels)[1])


METHODS = {
    method.__name__: method
    for method in (ours, product, classic, boxmot, torchreid, reranked, torchreid_reranked)
}


if __name__ == "__main__":
    main()
