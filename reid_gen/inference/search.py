"""Who in a gallery is shown in a query image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid_gen.cluster.knn.topk import best_matches, matches_from_distances
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.same_image import no_matches, same_files
from reid_gen.evaluation.features import extract_features
from reid_gen.evaluation.rerank import Reranked
from reid_gen.inference.reid_model import open_encoder
from reid_gen.runtime.progress import Progress
from reid_gen.types import Float32Array, Image

BATCH = 128
WORKERS = 4
"""Decoding threads."""


@dataclass(frozen=True)
class Ranked:
    """A query and what was found for it.

    Attributes:
        query: The image.
        matches: Images of the gallery with their distances, the best first.
        same: Images of the gallery that are the query itself, and were left out.
    """

    query: Image
    matches: tuple[tuple[Image, float], ...]
    same: tuple[Image, ...]


class Gallery:
    """Images in which people are searched; their features are made once.

    Args:
        model: Run folder, checkpoint, exported encoder, or a name of the zoo.
        images: Of the gallery.
        progress: Display.

    Raises:
        UserError: If the model cannot be loaded, or images do not decode.

    Attributes:
        images: N in all.
        features: Of these, unit rows, [N, D].
    """

    def __init__(self, model: Path, images: Sequence[Image], progress: Progress) -> None:
        self._encode, self._card = open_encoder(model, "fp32")
        self._progress = progress
        self.images = images
        self.features = self._features(images)

    def search(
        self,
        query: Sequence[Image],
        top: int,
        *,
        reranked: bool = False,
        keep_same_image: bool = False,
    ) -> list[Ranked]:
        """Rank the gallery for each query.

        Args:
            query: Images.
            top: Matches per query.
            reranked: Whether by k-reciprocal re-ranking.
            keep_same_image: Let a query find its own image, too.

        Raises:
            UserError: If images do not decode.
        """
        asked = self._features(query)
        paths = [[image.path for image in images] for images in (query, self.images)]
        same = no_matches(*map(len, paths)) if keep_same_image else same_files(*paths)
        if reranked:
            found = matches_from_distances(Reranked(asked, self.features), top, same)
        else:
            found = best_matches(asked, self.features, top, same)
        return [
            Ranked(
                image,
                tuple(
                    (self.images[place], round(float(distance), 4))
                    for place, distance in zip(places, distances, strict=True)
                    if np.isfinite(distance)
                ),
                tuple(self.images[place] for place in own.indices),
            )
            for image, places, distances, own in zip(
                query, found.index, found.distance, same, strict=True
            )
        ]

    def _features(self, images: Sequence[Image]) -> Float32Array:
        loader = ImageLoader(images, self._card.height, self._card.width, WORKERS)
        with self._progress.task("extract", len(images)) as advance:
            found = extract_features(self._encode, loader, batch=BATCH, advance=advance)
        return found.complete()
