"""Evaluation of generated views against true views and against baselines without a generator."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reid_gen.body.table import BodyTable
from reid_gen.data.images import resize
from reid_gen.data.loaders import BATCH_SIZE, ImageLoader
from reid_gen.data.same_image import same_in_splits
from reid_gen.data.sampling import evenly_spaced_indices
from reid_gen.data.tables import read_npz
from reid_gen.data.transforms import image_grid, to_images
from reid_gen.evaluation.image_metrics import (
    FeatureStatistics,
    feature_statistics,
    frechet_distance,
    person_psnr,
    ssim_and_psnr,
)
from reid_gen.evaluation.ranking import evaluate_ranking
from reid_gen.files import write_bytes
from reid_gen.generators.renderer import ViewRenderer
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.text_table import aligned
from reid_gen.types import Float32Array, LabelledSplit, Uint8Array

TrueView = Callable[[str, float], Uint8Array]
"""Maps an image key and a rotation in degrees to the true crop, [h, w, 3] of any size."""
SHEET_QUERIES = 8
"""Number of queries on a contact sheet."""


@dataclass(frozen=True)
class ViewScores:
    """Scores of generated views or of a baseline.

    Attributes:
        ssim: SSIM with the true view, -1..1; None if there are no true views.
        psnr: PSNR with the true view in decibels; None if there are no true views.
        person_psnr: PSNR over the pixels of the rotated body, without the background; None if
            there are no true views.
        frechet: Frechet distance of the views' features to those of the gallery.
        rank1: Rank-1 of the views as queries in the features of the reference encoder, 0..1.
        mean_ap: mAP of the same rankings, 0..1.
    """

    ssim: float | None
    psnr: float | None
    person_psnr: float | None
    frechet: float
    rank1: float
    mean_ap: float

    def as_dict(self) -> dict[str, float | None]:
        """Return plain values for JSON."""
        names = {"mean_ap": "mAP", "rank1": "rank-1"}
        return {names.get(name, name): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class _GalleryStatistics:
    """What views are compared with.

    Attributes:
        identity_features: Features of the gallery by the reference encoder, [G, D].
        statistics: Mean and covariance of the gallery's features for the Frechet distance.
        mean_images: Mean gallery image of each query's person, [Q, 3, H, W].
    """

    identity_features: Float32Array
    statistics: FeatureStatistics
    mean_images: Tensor


@dataclass(frozen=True)
class ViewEvaluator:
    """Evaluates views generated from query images.

    Attributes:
        query: Query images, the sources of the views.
        gallery: Real gallery images.
        table: Estimated bodies of the query images.
        reference_encoder: Encoder that measures identity; not trained on generated images.
        features: Feature extractor of the Frechet distance.
        true_view: Renderer of true views; None for data sets without them.
        degrees: Rotations of the body in degrees, [V].
        cache: Folder that caches the gallery's feature statistics.
        features_name: Name of the feature extractor, part of the cache key.
    """

    query: LabelledSplit
    gallery: LabelledSplit
    table: BodyTable
    reference_encoder: FeatureExtractor
    features: FeatureExtractor
    true_view: TrueView | None
    degrees: Float32Array
    cache: Path
    features_name: str

    def __call__(self, renderer: ViewRenderer) -> dict[str, ViewScores]:
        """Score generated views and baselines, by name.

        The baselines are the unchanged query image, the mean gallery image of the person and, if
        known, the true views.

        Raises:
            UserError: If an image does not decode or has no body.
        """
        batches = list(renderer.views(self.query.images, self.table, self.degrees))
        images = torch.cat([batch_images for batch_images, _ in batches])
        count = len(self.degrees)
        gallery = self._gallery_statistics(images)
        candidates = {
            "generated": torch.cat([views for _, views in batches]),
            "input": images.unsqueeze(1).expand(-1, count, -1, -1, -1),
            "mean_of_others": gallery.mean_images.unsqueeze(1).expand(-1, count, -1, -1, -1),
        }
        true, person = self._true_views(images), self._person_masks(renderer)
        if true is not None:
            candidates = {"true": true, **candidates}
        return {
            name: self._score(views.flatten(0, 1), true, person, gallery)
            for name, views in candidates.items()
        }

    def sheet(self, renderer: ViewRenderer) -> Uint8Array:
        """Draw a row per sampled query: the image, its views and, if known, the true views.

        Args:
            renderer: Generates the views.

        Returns:
            RGB contact sheet, [h, w, 3].
        """
        sample = replace(self, query=evenly_spaced_queries(self.query, SHEET_QUERIES))
        batches = list(renderer.views(sample.query.images, sample.table, sample.degrees))
        images = torch.cat([batch_images for batch_images, _ in batches])
        true = sample._true_views(images)
        columns = [images.unsqueeze(1), torch.cat([views for _, views in batches])]
        return image_grid(torch.cat(columns if true is None else [*columns, true], dim=1))

    def _gallery_statistics(self, query_images: Tensor) -> _GalleryStatistics:
        """Compute features, statistics and mean images in one pass over the gallery.

        Args:
            query_images: Query images [Q, 3, H, W], whose size the gallery images take.
        """
        height, width = query_images.shape[2:]
        pids, pid_index = np.unique(self.query.pids, return_inverse=True)
        sums = torch.zeros(len(pids), 3, height, width)
        cache_file = self._cache_file(height, width)
        statistics = _load_statistics(cache_file)
        identity_features, features = [], []
        for batch in ImageLoader(self.gallery.images, height, width, 2).complete_batches():
            images = to_images(batch.pixels)
            identity_features.append(self.reference_encoder(images).cpu())
            if statistics is None:
                features.append(self.features(images).cpu())
            batch_pids = self.gallery.pids[batch.index]
            queried = np.isin(batch_pids, pids)
            rows = torch.from_numpy(np.searchsorted(pids, batch_pids[queried]))
            sums.index_add_(0, rows, images[torch.from_numpy(queried)])
        counts = torch.from_numpy((self.gallery.pids[:, None] == pids).sum(0)).clamp(min=1)
        mean_images = (sums / counts.view(-1, 1, 1, 1))[torch.from_numpy(pid_index)]
        if statistics is None:
            statistics = feature_statistics(torch.cat(features).numpy())
            _save_statistics(statistics, cache_file)
        return _GalleryStatistics(torch.cat(identity_features).numpy(), statistics, mean_images)

    def _cache_file(self, height: int, width: int) -> Path:
        """Return the cache path of the statistics of this gallery, feature extractor and size."""
        digest = hashlib.sha256(f"{self.features_name} {height} {width}".encode())
        for image in self.gallery.images:
            digest.update(f"{image.key}\0{image.path.stat().st_size}\n".encode())
        return self.cache / f"gallery-{digest.hexdigest()[:16]}.npz"

    def _true_views(self, query_images: Tensor) -> Tensor | None:
        """Render true views [Q, V, 3, H, W] in the size of the query images; None if unknown."""
        if self.true_view is None:
            return None
        pixels = [
            resize(self.true_view(image.key, float(angle)), *query_images.shape[2:])
            for image in self.query.images
            for angle in self.degrees
        ]
        images = to_images(np.stack(pixels))
        return images.view(len(query_images), len(self.degrees), *query_images.shape[1:])

    def _person_masks(self, renderer: ViewRenderer) -> Tensor:
        """Render the silhouettes of the rotated bodies, [Q V, H, W] bool."""
        maps = renderer.maps(self.table)
        keys = [image.key for image in self.query.images for _ in self.degrees]
        degrees = np.tile(self.degrees, len(self.query.images))
        return torch.from_numpy(maps("silhouette", keys, degrees)[:, 0] > 0)

    def _score(
        self, views: Tensor, true: Tensor | None, person: Tensor, gallery: _GalleryStatistics
    ) -> ViewScores:
        """Score views [Q V, 3, H, W] against the true views and the gallery."""
        similarity: tuple[float | None, float | None, float | None] = (None, None, None)
        if true is not None:
            target = true.flatten(0, 1)
            similarity = (*ssim_and_psnr(views, target), person_psnr(views, target, person))
        count, same = len(self.degrees), same_in_splits(self.query, self.gallery)
        ranking = evaluate_ranking(
            self._encode(self.reference_encoder, views),
            gallery.identity_features,
            np.repeat(self.query.pids, count),
            self.gallery.pids,
            np.repeat(self.query.camids, count),
            self.gallery.camids,
            same_image=None if same is None else same[np.repeat(np.arange(same.shape[0]), count)],
        )
        statistics = feature_statistics(self._encode(self.features, views))
        frechet = frechet_distance(statistics, gallery.statistics)
        return ViewScores(*similarity, frechet, ranking.cmc[1], ranking.mean_ap)

    @staticmethod
    def _encode(encode: FeatureExtractor, images: Tensor) -> Float32Array:
        batches = [encode(batch).float().cpu() for batch in torch.split(images, BATCH_SIZE)]
        features: Float32Array = torch.cat(batches).numpy()
        return features


def _load_statistics(path: Path) -> FeatureStatistics | None:
    if not path.is_file():
        return None
    file = read_npz(path)
    return FeatureStatistics(file["mean"], file["covariance"])


def _save_statistics(statistics: FeatureStatistics, path: Path) -> None:
    file = io.BytesIO()
    np.savez(file, mean=statistics.mean, covariance=statistics.covariance)
    write_bytes(path, file.getvalue())


def evenly_spaced_queries(query: LabelledSplit, count: int) -> LabelledSplit:
    """Select ``count`` evenly spaced queries, or all if there are fewer."""
    rows = evenly_spaced_indices(len(query.images), count)
    return LabelledSplit(tuple(query.images[row] for row in rows), query.pids[rows])


def views_table(scores: Mapping[str, ViewScores], distance: str) -> str:
    """Format scores as aligned text, a row for the generated views and for each baseline.

    Args:
        scores: Scores by the name of their row.
        distance: Column head of the Frechet distance.
    """
    heads = ("views", "SSIM", "PSNR", "PSNR of person", distance, "rank-1", "mAP")
    rows = []
    for name, score in scores.items():
        similarity = ("-", "-", "-")
        if score.ssim is not None:
            similarity = (f"{score.ssim:.3f}", f"{score.psnr:.2f}", f"{score.person_psnr:.2f}")
        percent = (f"{100 * share:.1f}" for share in (score.rank1, score.mean_ap))
        rows.append((name, *similarity, f"{score.frechet:.4f}", *percent))
    return aligned(heads, rows)
