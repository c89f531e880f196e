"""Generation of groups of positives, in parts, so that an interrupted run can be resumed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reid_gen.data.positive_groups import (
    SAME_POSE,
    Member,
    check_group_size,
    part_folder,
    start_groups,
    write_part,
)
from reid_gen.data.transforms import image_grid
from reid_gen.errors import UserError
from reid_gen.pedestrians.compositing import encode_jpeg
from reid_gen.positives.scores import Scorer, Scores
from reid_gen.positives.sources import PositiveBatch, PositiveSource
from reid_gen.runtime.progress import Progress
from reid_gen.runtime.seeding import seeded_rng
from reid_gen.types import Float32Array, Image

PART = 64
"""Images per part: generated together, and the most that an interruption loses."""
QUALITY = 95
"""JPEG quality of the generated images."""


@dataclass(frozen=True)
class Positives:
    """What generates positives.

    Attributes:
        source: Source of positives.
        scorer: Quality scores of the positives.
        images: Source images.
        provenance: What the positives are generated with, for the header of the groups.
        skipped: Note on training images that are left out; None if none can be.
    """

    source: PositiveSource
    scorer: Scorer
    images: list[Image]
    provenance: dict[str, Any]
    skipped: str | None = None


def generate_groups(
    source: PositiveSource,
    scorer: Scorer,
    images: Sequence[Image],
    folder: Path,
    *,
    members: int,
    seed: int,
    provenance: Mapping[str, object],
    progress: Progress,
) -> None:
    """Generate positives of every image.

    The same arguments give the same bytes, whether or not the command was interrupted.

    Args:
        source: Source of positives.
        scorer: Quality scores of the positives.
        images: Source images, each of which gets a group.
        folder: Folder of the groups; parts that it already holds are kept.
        members: Positives per image.
        seed: Seed of all randomness.
        provenance: What the groups are generated with (networks, settings, digests of inputs), for
            the header; a folder never mixes groups of different provenance.
        progress: Progress display.

    Raises:
        UserError: If the folder holds other groups, an image cannot be decoded, a file cannot be
            written, there are no images, or groups that share a pose would have one member.
    """
    header = groups_header(source, images, members=members, seed=seed, provenance=provenance)
    parts = [images[start : start + PART] for start in range(0, len(images), PART)]
    start_groups(folder, header)
    missing = {n: part for n, part in enumerate(parts) if not part_folder(folder, n).is_dir()}
    remaining = sum(len(part) for part in missing.values())
    with progress.task("generate", len(images), len(images) - remaining) as advance:
        for number, part in missing.items():
            batches = source(part, members, seeded_rng(seed, number))
            relative = part_folder(Path(), number)
            write_part(folder, number, list(part_files(part, batches, scorer, seed, relative)))
            advance(len(part))


def groups_header(
    source: PositiveSource,
    images: Sequence[Image],
    *,
    members: int,
    seed: int,
    provenance: Mapping[str, object],
) -> dict[str, Any]:
    """Describe groups: source, settings, seed, and a digest of the source images' keys.

    Raises:
        UserError: If there are no images, or groups that share a pose would have one member.
    """
    if not images:
        raise UserError("there are no source images; check the data set, or lower min_score")
    if source.positives == SAME_POSE:
        check_group_size(members)
    digest = hashlib.sha256("\n".join(image.key for image in images).encode()).hexdigest()
    return {
        "kind": source.positives,
        "maker": source.name,
        **source.about,
        **provenance,
        "seed": seed,
        "members": members,
        "sources": len(images),
        "sources_sha256": digest,
        "parts": math.ceil(len(images) / PART),
    }


def part_files(
    images: Sequence[Image],
    batches: Iterator[PositiveBatch],
    scorer: Scorer,
    seed: int,
    folder: Path,
) -> Iterator[tuple[Member, bytes]]:
    """Yield the manifest entry and the JPEG file of each image of a part.

    Args:
        images: Source images of the part.
        batches: Their positives, in order.
        scorer: Quality scores of the positives.
        seed: Seed of the groups.
        folder: Folder of the part, relative to that of the groups.
    """
    start = 0
    for batch in batches:
        keys = [image.key for image in images[start : start + len(batch.images)]]
        scores = scorer(keys, batch)
        for row, key in enumerate(keys):
            for n, view in enumerate(batch.views[row]):
                content = encode_jpeg(image_grid(view[None, None]), QUALITY)
                file = str(folder / f"{start + row:04d}_{n}.jpg")
                yield _manifest_entry(batch, scores, (row, n), key, file, seed), content
        start += len(keys)


def _manifest_entry(
    batch: PositiveBatch,
    scores: Scores,
    position: tuple[int, int],
    key: str,
    file: str,
    seed: int,
) -> Member:
    prompt = batch.prompts[position[0]] if batch.prompts else ""
    return Member(
        file=file,
        group=f"{key} {prompt}".strip(),
        seed=seed if batch.seeds is None else int(batch.seeds[position]),
        source=key,
        degrees=_rounded(batch.degrees, position, 3),
        prompt=prompt,
        identity=_rounded(scores.identity, position, 4),
        structure=_rounded(scores.structure, position, 4),
        difference=round(float(scores.difference[position]), 4),
    )


def _rounded(values: Float32Array | None, position: tuple[int, int], digits: int) -> float | None:
    return None if values is None else round(float(values[position]), digits)


def histogram(scores: Sequence[float], bins: int = 10) -> str:
    """Format scores as a text histogram over 0..1; lower scores count in the first bin."""
    counts, edges = np.histogram(np.clip(scores, 0, 1), bins=bins, range=(0, 1))
    longest = max(1, int(counts.max()))
    return "\n".join(
        f"{low:.1f} {'#' * round(40 * count / longest):<40} {count:,}"
        for low, count in zip(edges, counts, strict=False)
    )
