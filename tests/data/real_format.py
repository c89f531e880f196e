"""Small synthetic data sets in the layouts of the real ones, with real image files.

Each person is a figure of two rectangles in colours of its own; each camera tints its images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

Size = tuple[int, int]
"""Height and width in pixels."""


def draw_person(
    file: Path, person: int, camera: int, shot: int, size: Size = (64, 32), seed: int = 0
) -> None:
    """Write one crop, deterministically; ``seed`` changes only the position and the noise."""
    height, width = size
    rng = np.random.default_rng([seed, person, camera, shot])
    colours = np.random.default_rng([1, person]).uniform(20, 235, (2, 3))
    tint = np.random.default_rng([2, camera]).uniform(0.85, 1.15, 3)
    background = np.random.default_rng([3, camera]).uniform(90, 160, 3)
    pixels = np.broadcast_to(background, (height, width, 3)).copy()
    shift = int(rng.integers(-width // 16, width // 16 + 1))
    left, right = width // 4 + shift, width * 3 // 4 + shift
    pixels[height // 8 : height // 2, left:right] = colours[0]
    pixels[height // 2 : height * 15 // 16, left:right] = colours[1]
    pixels = pixels * tint + rng.normal(0, 8, pixels.shape)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, quality=92)


def make_market(
    root: Path,
    people: int = 8,
    shots: int = 6,
    size: Size = (64, 32),
    seed: int = 0,
    cameras: int = 3,
) -> Path:
    """Write ``Market-1501-v15.09.15`` below a root and return the root.

    Training pids are even from 2, those of query and gallery odd from 1. Train and gallery have
    ``shots`` images of each of ``people`` people, over the cameras in turn; the query has two. The
    gallery also holds 3 distractors and 2 junk images, and every folder a Thumbs.db.
    """
    folder = root / "Market-1501-v15.09.15"

    def write(split: str, pid: int, shot: int, camera: int) -> None:
        name = f"{pid:04d}" if pid >= 0 else str(pid)
        file = folder / split / f"{name}_c{camera + 1}s1_{shot * 25 + 1:06d}_01.jpg"
        draw_person(file, 9000 + shot if pid <= 0 else pid, camera, shot, size, seed)

    for person in range(people):
        for shot in range(shots):
            write("bounding_box_train", 2 * person + 2, shot, shot % cameras)
            write("bounding_box_test", 2 * person + 1, shot, shot % cameras)
        for shot in (shots, shots + 1):
            write("query", 2 * person + 1, shot, (person + shot) % cameras)
    for shot in range(3):
        write("bounding_box_test", 0, shot, shot % cameras)
    for shot in range(3, 5):
        write("bounding_box_test", -1, shot, shot % cameras)
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        (folder / split / "Thumbs.db").write_bytes(b"no image")
    return root


def make_duke(
    root: Path, people: int = 3, shots: int = 3, size: Size = (64, 32), seed: int = 0
) -> Path:
    """Write ``DukeMTMC-reID`` below a root and return the root.

    Each split has ``shots`` images of each of ``people`` people, with pids as in
    :func:`make_market`.
    """
    folder = root / "DukeMTMC-reID"

    def write(split: str, pid: int, shot: int) -> None:
        camera = shot % 8
        file = folder / split / f"{pid:04d}_c{camera + 1}_f{46182 + shot:07d}.jpg"
        draw_person(file, pid, camera, shot, size, seed)

    for person in range(people):
        for shot in range(shots):
            write("bounding_box_train", 2 * person + 2, shot)
            write("bounding_box_test", 2 * person + 1, shot)
            write("query", 2 * person + 1, shots + shot)
    return root


def make_msmt17(
    root: Path,
    version: str = "V1",
    people: int = 4,
    shots: int = 2,
    size: Size = (64, 32),
    seed: int = 0,
) -> Path:
    """Write ``MSMT17_V1`` or ``MSMT17_V2`` below a root and return the root.

    The last image of each person is listed in ``list_val.txt`` or ``list_query.txt``. Pids of
    training and test images both start at 0 and denote different people. Cameras count down from
    the 15th.
    """
    folder = root / f"MSMT17_{version}"
    train, test = ("train", "test") if version == "V1" else ("mask_train_v2", "mask_test_v2")
    lists: dict[str, list[str]] = {"train": [], "val": [], "query": [], "gallery": []}
    halves = ((train, "train", "val", 0), (test, "gallery", "query", 500))
    for half, other_list, last_list, first_person in halves:
        for pid in range(people):
            for shot in range(shots):
                camera = 14 - shot % 15
                name = f"{pid:04d}/{pid:04d}_{shot:03d}_{camera + 1:02d}_0303morning_0015_0.jpg"
                draw_person(folder / half / name, first_person + pid, camera, shot, size, seed)
                lists[last_list if shot == shots - 1 else other_list].append(f"{name} {pid}")
    for split, lines in lists.items():
        (folder / f"list_{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def make_folder(
    root: Path, people: int = 4, shots: int = 3, size: Size = (64, 32), seed: int = 0
) -> Path:
    """Write unlabelled PNG crops ``day<0 or 1>/crop_<person>_<shot>.png`` and return the root."""
    for person in range(people):
        for shot in range(shots):
            file = root / f"day{shot % 2}" / f"crop_{person}_{shot}.png"
            draw_person(file, person, shot % 2, shot, size, seed)
    return root
