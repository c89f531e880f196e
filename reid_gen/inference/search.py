"""Image retrieval: rank the images of a gallery by their distance to query images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid_gen.cluster.knn.topk import best_matches, matches_from_distances
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.same_image import no_matches, same_files
from reid_gen.evaluation.features import extract_features
from reid_gen.evaluation.rerank import RerankedDistances
from reid_gen.inference.reid_model import open_encoder
from reid_gen.runtime.progress import Progress
from reid_gen.types import Float32Array, Image

BATCH = 128
"""Number of images per forward pass."""
WORKERS = 4
"""Number of decoding threads."""


@dataclass(frozen=True)
class RankedList:
    """Gallery images ranked for a query.

    Attributes:
        query: Query image.
        matches: Gallery images with their distances to the query, nearest first.
        same_images: Gallery images identical to the query, which are excluded from the ranking.
    """

    query: Image
    matches: tuple[tuple[Image, float], ...]
    same_images: tuple[Image, ...]


class Gallery:
    """Gallery whose features are extracted once and searched many times.

    Args:
        model: Run folder, checkpoint, exported encoder or name of a model in the zoo.
        images: Gallery images.
        progress: Progress display.

    Raises:
        UserError: If the model cannot be loaded, or an image does not decode.

    Attributes:
        images: The N gallery images.
        features: L2-normalised features of the gallery, [N, D].
    """

    def __init__(self, model: Path, images: Sequence[Image], progress: Progress) -> None:
        self._encode, self._card = open_encoder(model, "fp32")
        self._progress = progress
        self.images = images
        self.features = self._extract(images)

    def search(
        self,
        query: Sequence[Image],
        top: int,
        *,
        rerank: bool = False,
        keep_same_image: bool = False,
    ) -> list[RankedList]:
        """Rank the gallery for each query.

        Args:
            query: Query images.
            top: Maximum number of matches per query.
            rerank: Whether to apply k-reciprocal re-ranking.
            keep_same_image: Whether gallery images identical to a query stay in its ranking.

        Raises:
            UserError: If an image does not decode.
        """
        query_features = self._extract(query)
        paths = [[image.path for image in images] for images in (query, self.images)]
        same_image = no_matches(*map(len, paths)) if keep_same_image else same_files(*paths)
        if rerank:
            distances = RerankedDistances(query_features, self.features)
            matches = matches_from_distances(distances, top, same_image)
        else:
            matches = best_matches(query_features, self.features, top, same_image)
        return [
            RankedList(
                image,
                tuple(
                    (self.images[row], round(float(distance), 4))
                    for row, distance in zip(rows, row_distances, strict=True)
                    if np.isfinite(distance)
                ),
                tuple(self.images[row] for row in same_rows.indices),
            )
            for image, rows, row_distances, same_rows in zip(
                query, matches.index, matches.distance, same_image, strict=True
            )
        ]

    def _extract(self, images: Sequence[Image]) -> Float32Array:
        loader = ImageLoader(images, self._card.height, self._card.width, WORKERS)
        with self._progress.task("extract", len(images)) as advance:
            extracted = extract_features(self._encode, loader, batch=BATCH, advance=advance)
        return extracted.complete()
