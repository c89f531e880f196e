"""Rendered groups: exact positives for learning poses, and for learning looks."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from reid_gen.data.positive_groups import (
    SAME_IDENTITY,
    SAME_POSE,
    Member,
    check_group_size,
    part_folder,
    start_groups,
    write_part,
)
from reid_gen.pedestrians.compositing import as_jpeg
from reid_gen.pedestrians.renderer import Studio, Take

PART = 16
"""Groups per part."""
CAMERAS = 400
PEOPLE = 100_000
GROUP_KINDS = {"pose": SAME_POSE, "looks": SAME_IDENTITY}


@dataclass(frozen=True)
class GroupPlan:
    """What groups are made.

    Attributes:
        share: ``pose``: another person before another camera, in one pose seen from one side;
            ``looks``: one person in any pose, from any side, before any camera.
        groups: How many.
        members: Pictures in each.
        seed: Of all of them.
        height: Of the pictures in pixels.
        width: Of the pictures in pixels.
    """

    share: Literal["pose", "looks"]
    groups: int
    members: int
    seed: int
    height: int = 128
    width: int = 64


def render_groups(
    folder: Path,
    plan: GroupPlan,
    *,
    workers: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> None:
    """Render groups; a killed command goes on where it was and gives the same files.

    Args:
        folder: To make.
        plan: What groups.
        workers: Processes.
        progress: Called with the number of groups done since the last call.

    Raises:
        UserError: If other groups lie there, a group would have one member, or nothing can be
            written.
    """
    check_group_size(plan.members)
    parts = range(-(-plan.groups // PART))
    about = {
        "kind": GROUP_KINDS[plan.share],
        "maker": f"rendered, sharing {plan.share}",
        "seed": plan.seed,
        "members": plan.members,
        "size": f"{plan.height} x {plan.width}",
        "sources": plan.groups,
        "parts": len(parts),
    }
    start_groups(folder, about)
    missing = [number for number in parts if not part_folder(folder, number).is_dir()]
    progress(plan.groups - sum(_size(plan, number) for number in missing))
    render = partial(_render_part, folder, plan)
    if workers == 1:
        for number in missing:
            progress(render(number))
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, torch.set_num_threads, (1,)) as pool:
        for done in pool.map(render, missing):
            progress(done)


def draw_group(studio: Studio, plan: GroupPlan, number: int) -> list[Take]:
    """Takes of a group; the same number always gives the same ones. Source: own."""
    rng = np.random.default_rng([plan.seed, 8, number])
    people = rng.choice(PEOPLE, plan.members, replace=False)
    cameras = rng.integers(CAMERAS, size=plan.members)
    repeats = range(plan.members)
    if plan.share == "looks":
        return [studio.take(int(people[0]), int(cameras[n]), n) for n in repeats]
    takes = [studio.take(int(people[n]), int(cameras[n]), n) for n in repeats]
    first = takes[0]
    return [
        replace(take, pose=first.pose, shot=replace(take.shot, framing=first.shot.framing))
        for take in takes
    ]


def _size(plan: GroupPlan, part: int) -> int:
    return min(PART, plan.groups - part * PART)


def _render_part(folder: Path, plan: GroupPlan, part: int) -> int:
    """Render one part; returns the number of its groups."""
    studio = Studio(plan.seed, plan.height, plan.width)
    made = []
    for number in range(part * PART, part * PART + _size(plan, part)):
        for n, take in enumerate(draw_group(studio, plan, number)):
            quality = studio.camera(take.camera).response.jpeg
            content = as_jpeg(studio.photograph(take), quality)
            file = f"{part_folder(Path(), part)}/{number:06d}_{n}.jpg"
            pose = tuple(round(float(angle), 4) for angle in studio.truth(take).pose.flat)
            made.append((Member(file, f"{plan.share} {number}", plan.seed, pose=pose), content))
    write_part(folder, part, made)
    return _size(plan, part)
