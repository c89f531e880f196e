"""Rendered groups of positives with exactly the same pose, or exactly the same person."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from reid_gen.choices import GroupShare
from reid_gen.data.positive_groups import (
    SAME_IDENTITY,
    SAME_POSE,
    Member,
    check_group_size,
    part_folder,
    start_groups,
    write_part,
)
from reid_gen.pedestrians.compositing import encode_jpeg
from reid_gen.pedestrians.renderer import CropSpec, PedestrianRenderer

PART = 16
"""Groups per part."""
CAMERAS = 400
"""Number of cameras to sample from."""
PEOPLE = 100_000
"""Number of people to sample from."""
GROUP_KINDS = {"pose": SAME_POSE, "looks": SAME_IDENTITY}


@dataclass(frozen=True)
class GroupPlan:
    """Settings of rendered groups.

    Attributes:
        share: What the members of a group have in common. ``pose``: different people and cameras,
            the same pose and viewpoint; ``looks``: the same person, different poses, viewpoints
            and cameras.
        groups: Number of groups.
        members: Number of images per group.
        seed: Seed of the people, cameras and crops.
        height: Image height in pixels.
        width: Image width in pixels.
    """

    share: GroupShare
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
    """Render groups; an interrupted call can be repeated, and gives the same files.

    Args:
        folder: Folder of the groups, new or with some of their parts.
        plan: Settings of the groups.
        workers: Number of processes.
        progress: Callback that takes the number of groups rendered since its last call.

    Raises:
        UserError: If the folder holds groups of other settings, a group has fewer than 2 members,
            or the folder cannot be written.
    """
    check_group_size(plan.members)
    parts = range(-(-plan.groups // PART))
    header = {
        "kind": GROUP_KINDS[plan.share],
        "maker": f"rendered, sharing {plan.share}",
        "seed": plan.seed,
        "members": plan.members,
        "size": f"{plan.height} x {plan.width}",
        "sources": plan.groups,
        "parts": len(parts),
    }
    start_groups(folder, header)
    missing = [number for number in parts if not part_folder(folder, number).is_dir()]
    progress(plan.groups - sum(_groups_in_part(plan, number) for number in missing))
    render = partial(_render_part, folder, plan)
    if workers == 1:
        for number in missing:
            progress(render(number))
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, torch.set_num_threads, (1,)) as pool:
        for done in pool.map(render, missing):
            progress(done)


def sample_group(renderer: PedestrianRenderer, plan: GroupPlan, number: int) -> list[CropSpec]:
    """Sample the crops of a group; the same number always gives the same crops. Source: own."""
    rng = np.random.default_rng([plan.seed, 8, number])
    people = rng.choice(PEOPLE, plan.members, replace=False)
    cameras = rng.integers(CAMERAS, size=plan.members)
    repeats = range(plan.members)
    if plan.share == "looks":
        return [renderer.sample_crop(int(people[0]), int(cameras[n]), n) for n in repeats]
    crops = [renderer.sample_crop(int(people[n]), int(cameras[n]), n) for n in repeats]
    first = crops[0]
    return [
        replace(crop, pose=first.pose, shot=replace(crop.shot, framing=first.shot.framing))
        for crop in crops
    ]


def _groups_in_part(plan: GroupPlan, part: int) -> int:
    return min(PART, plan.groups - part * PART)


def _render_part(folder: Path, plan: GroupPlan, part: int) -> int:
    """Render one part and return the number of its groups."""
    renderer = PedestrianRenderer(plan.seed, plan.height, plan.width)
    images = []
    for number in range(part * PART, part * PART + _groups_in_part(plan, part)):
        for n, crop in enumerate(sample_group(renderer, plan, number)):
            quality = renderer.camera(crop.camera).response.jpeg_quality
            content = encode_jpeg(renderer.render(crop), quality)
            file = f"{part_folder(Path(), part)}/{number:06d}_{n}.jpg"
            pose = tuple(round(float(angle), 4) for angle in renderer.ground_truth(crop).pose.flat)
            images.append((Member(file, f"{plan.share} {number}", plan.seed, pose=pose), content))
    write_part(folder, part, images)
    return _groups_in_part(plan, part)
