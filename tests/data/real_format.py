"""Small data sets in the layouts of the real ones, with real image files.

Every person is a two-part figure whose colours belong to it; a camera tints the picture.
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
    """Write one crop; the same arguments give the same pixels, the seed only place and noise."""
    height, width = size
    rng = np.random.default_rng([seed, person, camera, shot])
    colours = np.random.default_rng([1, person]).uniform(20, 235, (2, 3))
    tint = np.random.default_rng([2, camera]).uniform(0.85, 1.15, 3)
    ground = np.random.default_rng([3, camera]).uniform(90, 160, 3)
    pixels = np.broadcast_to(ground, (height, width, 3)).copy()
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
    each: int = 6,
    size: Size = (64, 32),
    seed: int = 0,
    cameras: int = 3,
) -> Path:
    """Write ``Market-1501-v15.09.15`` below a root and return the root.

    Train has the even pids from 2, the test splits have the odd ones from 1: ``each`` images of
    each of ``people`` in train and in the gallery, over the cameras in turn, and two queries of
    each. The gallery also holds 3 distractors and 2 pieces of junk, and every folder a Thumbs.db.
    """
    folder = root / "Market-1501-v15.09.15"

    def write(split: str, pid: int, shot: int, camera: int) -> None:
        name = f"{pid:04d}" if pid >= 0 else str(pid)
        file = folder / split / f"{name}_c{camera + 1}s1_{shot * 25 + 1:06d}_01.jpg"
        draw_person(file, 9000 + shot if pid <= 0 else pid, camera, shot, size, seed)

    for person in range(people):
        for shot in range(each):
            write("bounding_box_train", 2 * person + 2, shot, shot % cameras)
            write("bounding_box_test", 2 * person + 1, shot, shot % cameras)
        for shot in (each, each + 1):
            write("query", 2 * person + 1, shot, (person + shot) % cameras)
    for shot in range(3):
        write("bounding_box_test", 0, shot, shot % cameras)
    for shot in range(3, 5):
        write("bounding_box_test", -1, shot, shot % cameras)
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        (folder / split / "Thumbs.db").write_bytes(b"no image")
    return root


def make_duke(
    root: Path, people: int = 3, each: int = 3, size: Size = (64, 32), seed: int = 0
) -> Path:
    """Write ``DukeMTMC-reID`` below a root and return the root.

    Each split has ``each`` images of ``people``; pids are as in :func:`make_market`.
    """
    folder = root / "DukeMTMC-reID"

    def write(split: str, pid: int, shot: int) -> None:
        camera = shot % 8
        file = folder / split / f"{pid:04d}_c{camera + 1}_f{46182 + shot:07d}.jpg"
        draw_person(file, pid, camera, shot, size, seed)

    for person in range(people):
        for shot in range(each):
            write("bounding_box_train", 2 * person + 2, shot)
            write("bounding_box_test", 2 * person + 1, shot)
            write("query", 2 * person + 1, each + shot)
    return root


def make_msmt17(
    root: Path,
    version: str = "V1",
    people: int = 4,
    each: int = 2,
    size: Size = (64, 32),
    seed: int = 0,
) -> Path:
    """Write ``MSMT17_V1`` or ``MSMT17_V2`` below a root and return the root.

    The last image of each person goes to ``list_val.txt`` or ``list_query.txt``. Pids of both
    halves count from 0 and mean different people. Cameras run downward from the 15th.
    """
    folder = root / f"MSMT17_{version}"
    train, test = ("train", "test") if version == "V1" else ("mask_train_v2", "mask_test_v2")
    lists: dict[str, list[str]] = {"train": [], "val": [], "query": [], "gallery": []}
    for half, many, last, first in ((train, "train", "val", 0), (test, "gallery", "query", 500)):
        for pid in range(people):
            for shot in range(each):
                camera = 14 - shot % 15
                name = f"{pid:04d}/{pid:04d}_{shot:03d}_{camera + 1:02d}_0303morning_0015_0.jpg"
                draw_person(folder / half / name, first + pid, camera, shot, size, seed)
                lists[last if shot == each - 1 else many].append(f"{name} {pid}")
    for split, lines in lists.items():
        (folder / f"list_{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def make_folder(
    root: Path, people: int = 4, each: int = 3, size: Size = (64, 32), seed: int = 0
) -> Path:
    """Write unlabelled PNG crops ``day<0 or 1>/crop_<person>_<shot>.png`` and return the root."""
    for person in range(people):
        for shot in range(each):
            file = root / f"day{shot % 2}" / f"crop_{person}_{shot}.png"
            draw_person(file, person, shot % 2, shot, size, seed)
    return root
