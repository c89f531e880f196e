"""Groups of views of every training image, in parts that outlive a kill."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reid_gen.body.table import BodyTable
from reid_gen.data.groups import Member, part_folder, start_groups, write_part
from reid_gen.data.transforms import as_sheet
from reid_gen.engine.artist import Artist
from reid_gen.engine.progress import Progress
from reid_gen.engine.seed import generator
from reid_gen.generators.turns import Angles
from reid_gen.pedestrians.crops import as_jpeg
from reid_gen.types import Floats, Image

PART = 64
"""Images per part: what a kill can cost, and what is drawn together."""
QUALITY = 95
"""Of the JPEG files."""
SAME_IDENTITY = "same_identity"


def generate_groups(
    artist: Artist,
    images: Sequence[Image],
    table: BodyTable,
    folder: Path,
    *,
    angles: Angles,
    members: int,
    seed: int,
    made_by: str,
    progress: Progress,
) -> None:
    """Draw views of every image; the same arguments give the same bytes, killed or not.

    Args:
        artist: Draws them.
        images: Sources, each of which becomes a group.
        table: Their bodies.
        folder: For the groups; parts that are there are kept.
        angles: How far people are turned.
        members: Views per image.
        seed: Of the angles.
        made_by: Names the networks; groups of others are never mixed with these.
        progress: Display.

    Raises:
        UserError: If other groups lie there, images do not decode, or nothing can be written.
    """
    digest = hashlib.sha256("\n".join(image.key for image in images).encode()).hexdigest()
    starts = range(0, len(images), PART)
    about = {
        "kind": SAME_IDENTITY,
        "made_by": made_by,
        "seed": seed,
        "members": members,
        "angles": repr(angles),
        "sources": len(images),
        "sources_sha256": digest,
        "parts": len(starts),
    }
    start_groups(folder, about)
    with progress.task("generate", len(images)) as advance:
        for number, start in enumerate(starts):
            part = images[start : start + PART]
            if not part_folder(folder, number).is_dir():
                rng = generator(seed, number)  # seeds the noise of diffusion models too
                degrees = np.stack([angles.draw(rng, members) for _ in part])
                write_part(folder, number, _draw(artist, part, table, degrees, seed, number))
            advance(len(part))


def _draw(
    artist: Artist,
    images: Sequence[Image],
    table: BodyTable,
    degrees: Floats,
    seed: int,
    number: int,
) -> list[tuple[Member, bytes]]:
    """Lines and files of a part, from degrees [P, V]."""
    made = []
    place = 0
    for pictures, views in artist.views(images, table, degrees):
        likeness = artist.likeness(pictures, views)
        for row in range(len(pictures)):
            key = images[place].key
            for n, view in enumerate(views[row]):
                content = as_jpeg(as_sheet(view[None, None]), QUALITY)
                name = f"{place:04d}_{n}.jpg"
                member = Member(
                    file=f"{part_folder(Path(), number)}/{name}",
                    group=key,
                    source=key,
                    degrees=round(float(degrees[place, n]), 3),
                    seed=seed,
                    identity=round(float(likeness[row, n]), 4),
                    sha256=hashlib.sha256(content).hexdigest(),
                )
                made.append((member, content))
            place += 1
    return made


def identity_histogram(scores: Sequence[float], bins: int = 10) -> str:
    """Identity scores from 0 to 1 as lines of text; lower ones count with the first."""
    counts, edges = np.histogram(np.clip(scores, 0, 1), bins=bins, range=(0, 1))
    longest = max(1, int(counts.max()))
    return "\n".join(
        f"{low:.1f} {'#' * round(40 * count / longest):<40} {count:,}"
        for low, count in zip(edges, counts, strict=False)
    )
