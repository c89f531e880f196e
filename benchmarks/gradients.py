"""Averaging of gradients over two processes: in buckets, and parameter by parameter.

Starts two processes that talk over gloo on this machine, gives every parameter of a backbone a
gradient, and averages them in both ways alternately.

    python -m benchmarks.gradients mobilenetv2_100 resnet50 --rounds 20

Prints one JSON object per backbone: medians in ms, and their ratio.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterable

import timm
import torch
from accelerate.utils import reduce
from torch import nn

from reid_gen.files import as_json
from reid_gen.runtime.devices import Runtime

PROCESSES = 2


def average_one_by_one(parameters: Iterable[nn.Parameter]) -> None:
    """Reduce the gradients one after the other, each in an operation that is waited for."""
    for parameter in parameters:
        parameter.grad = reduce(parameter.grad, reduction="mean")


def milliseconds(runtime: Runtime, function: Callable[[], None]) -> float:
    """Measure a call that all processes begin together."""
    runtime.gather_objects(None)
    start = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - start)


def measure(backbone: str, rounds: int, runtime: Runtime) -> dict[str, float | int | str]:
    """Measure both ways on the parameters of a timm model."""
    parameters = list(timm.create_model(backbone, num_classes=0).parameters())
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    ways: dict[str, Callable[[], None]] = {
        "buckets": lambda: runtime.average_gradients(parameters),
        "one by one": lambda: average_one_by_one(parameters),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1 + rounds):
        for name, way in ways.items():
            elapsed = milliseconds(runtime, way)
            if number:  # the first round opens connections
                times[name].append(elapsed)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "backbone": backbone,
        "parameters": len(parameters),
        "megabytes": round(sum(value.nbytes for value in parameters) / 1e6, 1),
        **{f"{name}, ms": round(value, 2) for name, value in medians.items()},
        "ratio": round(medians["one by one"] / medians["buckets"], 2),
    }


def run_rank(rank: int, port: int, backbones: list[str], rounds: int) -> None:
    """Be one of the processes; rank 0 prints."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(PROCESSES)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    runtime = Runtime()
    for backbone in backbones:
        result = measure(backbone, rounds, runtime)
        if runtime.is_main:
            print(as_json(result, None), flush=True)
    runtime.close()


def main() -> None:
    """Start the processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("backbones", nargs="+", help="timm models")
    parser.add_argument("--rounds", type=int, default=20, help="timed calls of each way")
    options = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    ranks = [
        fork.Process(target=run_rank, args=(rank, port, options.backbones, options.rounds))
        for rank in range(PROCESSES)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()


if __name__ == "__main__":
    main()
