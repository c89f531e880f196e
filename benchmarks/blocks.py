"""Extraction in blocks and by Ray against extraction in one pass, in alternating rounds.

    python -m benchmarks.blocks resnet10t.rendered --crops demo/pedestrians/bounding_box_train

The crops are repeated under other names until there are ``--images``. Prints one JSON object with
the median of seconds and its ratio to one pass, and what merging and listing cost per image.
With ``--actors`` Ray is measured too, its start included.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from reid_gen.cli.main import main as reid_gen
from reid_gen.data.find_images import find_images, image_files
from reid_gen.files import as_json
from reid_gen.inference import extract_blocks
from reid_gen.training.run import environment

ONE_PASS = "one pass"
"""Name of the extraction without blocks."""


def main() -> None:
    """Measure all engines and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="run, checkpoint or name in the model zoo")
    parser.add_argument("--crops", type=Path, required=True, help="folder of crops")
    parser.add_argument("--images", type=int, default=8192, help="number of images")
    parser.add_argument("--blocks", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--actors", type=int, help="number of Ray actors")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        crops = _repeat(options.crops, options.images, Path(folder) / "crops")
        command = ["extract", str(crops), "--model", options.model, "--out"]
        ways = {ONE_PASS: partial(_extract, command, ())}
        ways |= {
            f"blocks of {size}": partial(_extract, command, ("--shard", "1/1"), size)
            for size in options.blocks
        }
        if options.actors:
            ray = ("--engine", "ray", "--actors", str(options.actors))
            ways[f"ray, {options.actors} actors"] = partial(_extract, command, ray)
        result = {
            "images": options.images,
            "seconds": _seconds(ways, options.rounds),
            **_merging(command, options.images, Path(folder)),
            **_listing(crops, options.images),
            "environment": environment(),
        }
    print(as_json(result))


def _repeat(crops: Path, count: int, folder: Path) -> Path:
    """Link crops under new names until there are ``count`` of them."""
    folder.mkdir()
    files = image_files(crops)
    for number in range(count):
        file = files[number % len(files)]
        (folder / f"{number:08d}{file.suffix}").symlink_to(file.resolve())
    return folder


def _extract(
    command: list[str], words: tuple[str, ...], block: int = extract_blocks.BLOCK_SIZE
) -> None:
    """Extract features once to a file that is removed."""
    extract_blocks.BLOCK_SIZE = block
    extract_blocks.MIN_BLOCKS = 1
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        reid_gen([*command, f"{folder}/f.npz", *words])


def _seconds(ways: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, dict[str, float]]:
    """Measure all ways in alternating rounds; return medians and ratios to the first."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_index in range(rounds + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if round_index:  # the first round is a warm-up
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        name: {"median": round(median, 2), "to one pass": round(median / medians[ONE_PASS], 3)}
        for name, median in medians.items()
    }


def _merging(command: list[str], count: int, folder: Path) -> dict[str, float]:
    """Measure the seconds that merging two shards takes, and the bytes of the result."""
    out = folder / "f.npz"
    with redirect_stdout(StringIO()):
        for shard in ("1/2", "2/2"):
            reid_gen([*command, str(out), "--shard", shard])
        shards = sorted(folder.glob("f.npz.shard-*"))
        start = time.perf_counter()
        reid_gen(["merge", *map(str, shards), "--out", str(out)])
        seconds = time.perf_counter() - start
    result = {
        "npz_bytes_per_image": round(out.stat().st_size / count),
        "merge_microseconds_per_image": round(1e6 * seconds / count, 1),
    }
    for path in shards:
        shutil.rmtree(path)
    return result


def _listing(crops: Path, count: int) -> dict[str, float]:
    """Measure seconds and memory of the list of images."""
    start = time.perf_counter()
    find_images([str(crops)])
    seconds = time.perf_counter() - start
    tracemalloc.start()
    images = find_images([str(crops)])
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(images) == count
    return {
        "list_microseconds_per_image": round(1e6 * seconds / count, 1),
        "list_bytes_of_memory_per_image": round(memory / count),
    }


if __name__ == "__main__":
    main()
