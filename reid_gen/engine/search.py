"""Who in a gallery is shown in a query image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid_gen.data.loaders import ImageLoader
from reid_gen.engine.artist import whole_batches
from reid_gen.engine.progress import Progress
from reid_gen.engine.reid_model import ReidModel
from reid_gen.evaluation.matches import best_matches
from reid_gen.types import Floats, Image


@dataclass(frozen=True)
class Ranked:
    """A query and what was found for it.

    Attributes:
        query: The image.
        matches: Images of the gallery with their distances, the best first.
    """

    query: Image
    matches: tuple[tuple[Image, float], ...]


def search_images(
    model: Path,
    query: Sequence[Image],
    gallery: Sequence[Image],
    top: int,
    *,
    reranked: bool,
    progress: Progress,
) -> list[Ranked]:
    """Rank a gallery for each query.

    Args:
        model: Run folder or exported encoder.
        query: Images.
        gallery: Images.
        top: Matches per query.
        reranked: Whether by k-reciprocal re-ranking.
        progress: Display.

    Raises:
        UserError: If the model cannot be loaded, or images do not decode.
    """
    encode = ReidModel(model)
    asked, kept = (_features(encode, images, progress) for images in (query, gallery))
    found = best_matches(asked, kept, top, reranked=reranked)
    return [
        Ranked(
            image,
            tuple(
                (gallery[place], round(float(distance), 4))
                for place, distance in zip(places, distances, strict=True)
            ),
        )
        for image, places, distances in zip(query, found.index, found.distance, strict=True)
    ]


def _features(encode: ReidModel, images: Sequence[Image], progress: Progress) -> Floats:
    loader = ImageLoader(images, encode.card.height, encode.card.width, 2)
    parts = []
    with progress.task("extract", len(images)) as advance:
        for batch in whole_batches(loader):
            parts.append(encode(list(batch.pixels)))
            advance(len(batch.index))
    return np.concatenate(parts)
