"""Who in a gallery is shown in a query image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reid_gen.cluster.matches import best_matches, nearest_of
from reid_gen.data.loaders import ImageLoader
from reid_gen.engine.progress import Progress
from reid_gen.engine.reid_model import open_encoder
from reid_gen.evaluation.features import extract_features
from reid_gen.evaluation.rerank import Reranked
from reid_gen.types import Floats, Image

BATCH = 128
WORKERS = 4
"""Decoding threads."""


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
    encode, card = open_encoder(model, "fp32")

    def features(images: Sequence[Image]) -> Floats:
        loader = ImageLoader(images, card.height, card.width, WORKERS)
        with progress.task("extract", len(images)) as advance:
            return extract_features(encode, loader, batch=BATCH, advance=advance).complete()

    asked, kept = features(query), features(gallery)
    found = nearest_of(Reranked(asked, kept), top) if reranked else best_matches(asked, kept, top)
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
