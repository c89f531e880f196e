"""Groups of positives of real images, in parts that outlive a kill."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

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
from reid_gen.pedestrians.compositing import as_jpeg
from reid_gen.positives.scores import Scorer, Scores
from reid_gen.positives.sources import PositiveBatch, PositiveSource
from reid_gen.runtime.progress import Progress
from reid_gen.runtime.seeding import seeded_rng
from reid_gen.types import Float32Array, Image

PART = 64
"""Images per part: what a kill can cost, and what is drawn together."""
QUALITY = 95
"""Of the JPEG files."""


def generate_groups(
    maker: PositiveSource,
    scorer: Scorer,
    images: Sequence[Image],
    folder: Path,
    *,
    members: int,
    seed: int,
    card: Mapping[str, object],
    progress: Progress,
) -> None:
    """Make positives of every image; the same arguments give the same bytes, killed or not.

    Args:
        maker: Makes them.
        scorer: Says how much they can be trusted.
        images: ViewInputs, each of which becomes a group.
        folder: For the groups; parts that are there are kept.
        members: Positives per image.
        seed: Of all that is random.
        card: What made them: networks, settings, digests of what they were made from; groups of
            others are never mixed with these.
        progress: Display.

    Raises:
        UserError: If other groups lie there, images do not decode, or nothing can be written; if
            there is nothing to make, or a group of images that share a pose would have one member.
    """
    if not images:
        raise UserError("there is no image to make positives of")
    if maker.positives == SAME_POSE:
        check_group_size(members)
    digest = hashlib.sha256("\n".join(image.key for image in images).encode()).hexdigest()
    parts = [images[start : start + PART] for start in range(0, len(images), PART)]
    about = {
        "kind": maker.positives,
        "maker": maker.name,
        **maker.about,
        **card,
        "seed": seed,
        "members": members,
        "sources": len(images),
        "sources_sha256": digest,
        "parts": len(parts),
    }
    start_groups(folder, about)
    missing = {n: part for n, part in enumerate(parts) if not part_folder(folder, n).is_dir()}
    left = sum(len(part) for part in missing.values())
    with progress.task("generate", len(images), len(images) - left) as advance:
        for number, part in missing.items():
            made = maker(part, members, seeded_rng(seed, number))
            place = part_folder(Path(), number)
            write_part(folder, number, list(_files(part, made, scorer, seed, place)))
            advance(len(part))


def _files(
    images: Sequence[Image],
    batches: Iterator[PositiveBatch],
    scorer: Scorer,
    seed: int,
    place: Path,
) -> Iterator[tuple[Member, bytes]]:
    """Lines and files of a part."""
    done = 0
    for made in batches:
        keys = [image.key for image in images[done : done + len(made.pictures)]]
        scores = scorer(keys, made)
        for row, key in enumerate(keys):
            for n, view in enumerate(made.views[row]):
                content = as_jpeg(image_grid(view[None, None]), QUALITY)
                file = str(place / f"{done + row:04d}_{n}.jpg")
                yield _member(made, scores, (row, n), key, file, seed), content
        done += len(keys)


def _member(
    made: PositiveBatch,
    scores: Scores,
    at: tuple[int, int],
    key: str,
    file: str,
    seed: int,
) -> Member:
    prompt = made.prompts[at[0]] if made.prompts else ""
    return Member(
        file=file,
        group=f"{key} {prompt}".strip(),
        seed=seed if made.seeds is None else int(made.seeds[at]),
        source=key,
        degrees=_rounded(made.degrees, at, 3),
        prompt=prompt,
        identity=_rounded(scores.identity, at, 4),
        structure=_rounded(scores.structure, at, 4),
        difference=round(float(scores.difference[at]), 4),
    )


def _rounded(values: Float32Array | None, at: tuple[int, int], digits: int) -> float | None:
    return None if values is None else round(float(values[at]), digits)


def histogram(scores: Sequence[float], bins: int = 10) -> str:
    """Scores from 0 to 1 as lines of text; lower ones count with the first."""
    counts, edges = np.histogram(np.clip(scores, 0, 1), bins=bins, range=(0, 1))
    longest = max(1, int(counts.max()))
    return "\n".join(
        f"{low:.1f} {'#' * round(40 * count / longest):<40} {count:,}"
        for low, count in zip(edges, counts, strict=False)
    )
