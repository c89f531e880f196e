"""A rendered data set on disk: writing it, and rendering any of its crops again from any side."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from reid_gen.body.table import BodyTable, save_table
from reid_gen.errors import UserError
from reid_gen.files import as_json, read_json, refuse_existing, written_aside
from reid_gen.pedestrians.compositing import as_jpeg
from reid_gen.pedestrians.crop_list import DISTRACTOR, GALLERY, QUERY, TRAIN, Entry, Size, plan
from reid_gen.pedestrians.renderer import Studio, Take, Truth
from reid_gen.types import Uint8Array

FORMAT = 1
ABOUT = "pedestrians.json"
BODIES = "bodies"
SPLITS = {"train": TRAIN, "query": QUERY, "gallery": GALLERY}


def render_album(
    folder: Path,
    size: Size,
    seed: int,
    *,
    height: int = 128,
    width: int = 64,
    workers: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> None:
    """Render a data set in the layout of Market-1501, with the true body of every crop.

    Args:
        folder: To make; it is there whole or not at all.
        size: How many people, cameras and images.
        seed: The same size, seed and crop size give the same files.
        height: Of the crops in pixels.
        width: Of the crops in pixels.
        workers: Processes.
        progress: Called with the number of images done since the last call.

    Raises:
        UserError: If the folder exists or cannot be written.
    """
    refuse_existing(folder)
    entries = plan(size, seed)
    groups = [list(group) for _, group in groupby(entries, key=lambda entry: entry.number)]
    with written_aside(folder) as aside:
        for below in SPLITS.values():
            (aside / below).mkdir()
        truths: dict[str, Truth] = {}
        for found in _in_parallel(groups, (aside, seed, height, width), workers):
            truths |= found
            progress(len(found))
        (aside / BODIES).mkdir()
        for split, below in SPLITS.items():
            keys = sorted(key for key in truths if key.startswith(f"{below}/"))
            table = _table(keys, [truths[key] for key in keys], (height, width))
            save_table(table, aside / BODIES / f"{split}.npz")
        about = {"format": FORMAT, "seed": seed, "height": height, "width": width}
        text = as_json({**about, "size": asdict(size)})
        (aside / ABOUT).write_text(text + "\n", encoding="utf-8")


class Album:
    """A rendered data set, from which any crop can be rendered again.

    Args:
        folder: That :func:`render_album` made.

    Raises:
        UserError: If it is none, or another version's.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / ABOUT
        if not file.is_file():
            raise UserError(
                f"{folder} holds no {ABOUT}: true turned views exist only for rendered "
                "pedestrians; make some with `reid-gen data render pedestrians`"
            )
        try:
            about = read_json(file)
            if about["format"] != FORMAT:
                raise UserError(
                    f"{file} has format {about['format']}, this version renders {FORMAT}; "
                    "render the data set again"
                )
            said = about["seed"], about["height"], about["width"]
            size = Size(**about["size"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file} is damaged ({error!r}); render the data set again") from error
        self.studio = Studio(*said)
        entries = plan(size, about["seed"])
        self._entries = {entry.key: entry for entry in entries}

    def view(self, key: str, degrees: float = 0) -> Uint8Array:
        """The crop as it would be with the person turned to their left, [H, W, 3].

        Args:
            key: Path of the crop below the root.
            degrees: 0 is the crop itself, before JPEG.

        Raises:
            UserError: If the data set has no such crop.
        """
        if key not in self._entries:
            raise UserError(f"{key} is no crop of this rendered data set; check the path")
        return self.studio.photograph(_take(self.studio, self._entries[key]), degrees)


def _take(studio: Studio, entry: Entry) -> Take:
    if entry.pid == DISTRACTOR:
        return studio.distractor(entry.number, entry.camera)
    return studio.take(entry.number, entry.camera, entry.repeat)


WorkerSetup = tuple[Path, int, int, int]
"""Folder, seed, height and width: what a worker has to know."""


def _in_parallel(
    groups: Sequence[list[Entry]], place: WorkerSetup, workers: int
) -> Iterable[dict[str, Truth]]:
    if workers == 1:
        _start_worker(*place, threads=torch.get_num_threads())
        yield from map(_render, groups)
        return
    # Forked processes could inherit locked OpenMP threads from torch.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _start_worker, place) as pool:
        yield from pool.map(_render, groups, chunksize=1)


_worker: tuple[Path, Studio] | None = None
"""Folder and studio of this process."""


def _start_worker(folder: Path, seed: int, height: int, width: int, threads: int = 1) -> None:
    global _worker
    # Threads of several processes that wait for each other on the same cores cost two thirds of it.
    torch.set_num_threads(threads)
    _worker = folder, Studio(seed, height, width)


def _render(entries: list[Entry]) -> dict[str, Truth]:
    """Render the crops of one person into the folder."""
    assert _worker is not None
    folder, studio = _worker
    truths = {}
    for entry in entries:
        take = _take(studio, entry)
        quality = studio.camera(entry.camera).response.jpeg
        (folder / entry.key).write_bytes(as_jpeg(studio.photograph(take), quality))
        truths[entry.key] = studio.truth(take)
    return truths


def _table(keys: Sequence[str], truths: Sequence[Truth], size: tuple[int, int]) -> BodyTable:
    return BodyTable(
        keys=tuple(keys),
        pose=np.stack([truth.pose for truth in truths]).astype(np.float32),
        shape=np.stack([truth.shape for truth in truths]).astype(np.float32),
        camera=np.stack([truth.camera for truth in truths]).astype(np.float32),
        score=np.ones(len(keys), np.float32),
        size=np.tile(np.array(size), (len(keys), 1)),
        source="rendered pedestrians",
    )
