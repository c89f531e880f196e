"""Groups of true views of rendered pedestrians, the output of a perfect generator."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from reid_gen.data.datasets import load_dataset
from reid_gen.data.positive_groups import (
    SAME_IDENTITY,
    Member,
    part_folder,
    start_groups,
    write_part,
)
from reid_gen.generators.turned_maps import AnyAngle
from reid_gen.pedestrians.compositing import encode_jpeg
from reid_gen.pedestrians.dataset import RenderedDataset

PART = 50
SEED = 3
QUALITY = 95


def write_true_views(root: Path, out: Path, members: int = 4) -> None:
    """Render every training image again with its person rotated by random angles.

    Args:
        root: Rendered pedestrians.
        out: Folder for the groups; existing parts are reused.
        members: Number of views per image.
    """
    keys = [image.key for image in load_dataset("pedestrians", root).train]
    parts = range(-(-len(keys) // PART))
    about = {
        "kind": SAME_IDENTITY, "maker": "true views", "seed": SEED, "members": members,
        "sources": len(keys), "parts": len(parts),
    }  # fmt: skip
    start_groups(out, about)
    missing = [number for number in parts if not part_folder(out, number).is_dir()]
    if missing:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, spawn, torch.set_num_threads, (1,)) as pool:
            list(pool.map(partial(_render, root, out, keys, members), missing))


def _render(root: Path, out: Path, keys: list[str], members: int, part: int) -> None:
    dataset, rng = RenderedDataset(root), np.random.default_rng([SEED, part])
    views = []
    for row, key in enumerate(keys[part * PART : (part + 1) * PART]):
        for n, degrees in enumerate(AnyAngle().sample(rng, members)):
            content = encode_jpeg(dataset.view(key, float(degrees)), QUALITY)
            file = f"{part_folder(Path(), part)}/{row:04d}_{n}.jpg"
            views.append((Member(file, key, SEED, key, round(float(degrees), 3)), content))
    write_part(out, part, views)
