"""Rendered data set on disk: rendering it, and re-rendering its crops from any viewpoint."""

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
from reid_gen.files import as_json, check_overwrite, read_json, written_aside
from reid_gen.pedestrians.compositing import encode_jpeg
from reid_gen.pedestrians.crop_list import (
    DISTRACTOR,
    GALLERY,
    QUERY,
    TRAIN,
    DatasetSize,
    PlannedCrop,
    plan_crops,
)
from reid_gen.pedestrians.renderer import CropSpec, GroundTruthBody, PedestrianRenderer
from reid_gen.types import Uint8Array

FORMAT = 1
HEADER = "pedestrians.json"
"""File with the settings of the data set, from which its crops can be rendered again."""
BODIES = "bodies"
"""Folder of the ground-truth body tables."""
SPLITS = {"train": TRAIN, "query": QUERY, "gallery": GALLERY}


def render_dataset(
    folder: Path,
    size: DatasetSize,
    seed: int,
    *,
    height: int = 128,
    width: int = 64,
    workers: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> None:
    """Render a data set in the layout of Market-1501, with ground-truth bodies of all crops.

    Args:
        folder: Folder to create; it is written atomically.
        size: Number of people, cameras and images.
        seed: Seed of the data set. The same size, seed and crop size give the same files.
        height: Crop height in pixels.
        width: Crop width in pixels.
        workers: Number of processes.
        progress: Callback that takes the number of images rendered since its last call.

    Raises:
        UserError: If the folder exists or cannot be written.
    """
    check_overwrite(folder)
    crops = plan_crops(size, seed)
    crops_by_person = [list(group) for _, group in groupby(crops, key=lambda crop: crop.person)]
    with written_aside(folder) as temporary:
        for split_folder in SPLITS.values():
            (temporary / split_folder).mkdir()
        bodies: dict[str, GroundTruthBody] = {}
        worker_setup = (temporary, seed, height, width)
        for rendered in _render_in_parallel(crops_by_person, worker_setup, workers):
            bodies |= rendered
            progress(len(rendered))
        (temporary / BODIES).mkdir()
        for split, split_folder in SPLITS.items():
            keys = sorted(key for key in bodies if key.startswith(f"{split_folder}/"))
            table = _body_table(keys, [bodies[key] for key in keys], (height, width))
            save_table(table, temporary / BODIES / f"{split}.npz")
        header = {"format": FORMAT, "seed": seed, "height": height, "width": width}
        text = as_json({**header, "size": asdict(size)})
        (temporary / HEADER).write_text(text + "\n", encoding="utf-8")


class RenderedDataset:
    """Rendered data set on disk whose crops can be rendered again, also from other viewpoints.

    Attributes:
        renderer: Renderer of the data set.

    Args:
        folder: Folder that :func:`render_dataset` wrote.

    Raises:
        UserError: If the folder is no rendered data set, or one of another format version.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / HEADER
        if not file.is_file():
            raise UserError(
                f"{folder} holds no {HEADER}: true turned views exist only for rendered "
                "pedestrians; make some with `reid-gen data render pedestrians`"
            )
        try:
            header = read_json(file)
            if header["format"] != FORMAT:
                raise UserError(
                    f"{file} has format {header['format']}, this version renders {FORMAT}; "
                    "render the data set again"
                )
            renderer_settings = header["seed"], header["height"], header["width"]
            size = DatasetSize(**header["size"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file} is damaged ({error!r}); render the data set again") from error
        self.renderer = PedestrianRenderer(*renderer_settings)
        self._crops = {crop.key: crop for crop in plan_crops(size, header["seed"])}

    def view(self, key: str, degrees: float = 0) -> Uint8Array:
        """Render a crop with the person turned to their left, before JPEG compression, [H, W, 3].

        Args:
            key: Path of the crop relative to the root.
            degrees: Rotation of the person in degrees; 0 renders the crop as it is.

        Raises:
            UserError: If the data set has no such crop.
        """
        if key not in self._crops:
            raise UserError(f"{key} is no crop of this rendered data set; check the path")
        return self.renderer.render(_crop_spec(self.renderer, self._crops[key]), degrees)


def _crop_spec(renderer: PedestrianRenderer, crop: PlannedCrop) -> CropSpec:
    """Sample the parameters of a planned crop."""
    if crop.pid == DISTRACTOR:
        return renderer.sample_distractor(crop.person, crop.camera)
    return renderer.sample_crop(crop.person, crop.camera, crop.repeat)


WorkerSetup = tuple[Path, int, int, int]
"""Arguments of :func:`_start_worker`: folder, seed, height and width."""


def _render_in_parallel(
    crops_by_person: Sequence[list[PlannedCrop]], worker_setup: WorkerSetup, workers: int
) -> Iterable[dict[str, GroundTruthBody]]:
    """Render crops, one person at a time per process; yields bodies by key for each person."""
    if workers == 1:
        _start_worker(*worker_setup, threads=torch.get_num_threads())
        yield from map(_render_crops, crops_by_person)
        return
    # Forked processes could inherit locked OpenMP threads from torch.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _start_worker, worker_setup) as pool:
        yield from pool.map(_render_crops, crops_by_person, chunksize=1)


_worker: tuple[Path, PedestrianRenderer] | None = None
"""Folder and renderer of this process."""


def _start_worker(folder: Path, seed: int, height: int, width: int, threads: int = 1) -> None:
    global _worker
    # Several processes with several threads each oversubscribe the cores, which costs two thirds.
    torch.set_num_threads(threads)
    _worker = folder, PedestrianRenderer(seed, height, width)


def _render_crops(crops: list[PlannedCrop]) -> dict[str, GroundTruthBody]:
    """Write the crops of one person to the folder and return their bodies by key."""
    assert _worker is not None
    folder, renderer = _worker
    bodies = {}
    for crop in crops:
        spec = _crop_spec(renderer, crop)
        quality = renderer.camera(crop.camera).response.jpeg_quality
        (folder / crop.key).write_bytes(encode_jpeg(renderer.render(spec), quality))
        bodies[crop.key] = renderer.ground_truth(spec)
    return bodies


def _body_table(
    keys: Sequence[str], bodies: Sequence[GroundTruthBody], size: tuple[int, int]
) -> BodyTable:
    return BodyTable(
        keys=tuple(keys),
        pose=np.stack([body.pose for body in bodies]).astype(np.float32),
        shape=np.stack([body.shape for body in bodies]).astype(np.float32),
        camera=np.stack([body.camera for body in bodies]).astype(np.float32),
        score=np.ones(len(keys), np.float32),
        size=np.tile(np.array(size), (len(keys), 1)),
        source="rendered pedestrians",
    )
