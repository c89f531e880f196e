"""Generated views against what a camera would have seen, and against what needs no generator."""

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
    likeness,
    person_psnr,
)
from reid_gen.evaluation.ranking import evaluate_ranking
from reid_gen.files import write_bytes
from reid_gen.generators.renderer import ViewRenderer
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.text_table import aligned
from reid_gen.types import Float32Array, LabelledSplit, Uint8Array

Truth = Callable[[str, float], Uint8Array]
"""The crop of a key with its person turned by some degrees, [h, w, 3] of any size."""
SHOWN = 8
"""Queries on a sheet."""


@dataclass(frozen=True)
class ViewScores:
    """What was measured of one way to make views.

    Attributes:
        ssim: To the true turned view, -1..1; None where there is no truth.
        psnr: To the same, decibels.
        person_psnr: The same where the turned body is, so that backgrounds do not count.
        frechet: Distance to the gallery's images in the space of the features that are named.
        rank1: Share of views whose nearest gallery image (own camera's dropped) is the same person,
            for the judge, 0..1.
        mean_ap: mAP of the same ranking, 0..1.
    """

    ssim: float | None
    psnr: float | None
    person_psnr: float | None
    frechet: float
    rank1: float
    mean_ap: float

    def as_dict(self) -> dict[str, float | None]:
        """Plain values, for JSON."""
        names = {"mean_ap": "mAP", "rank1": "rank-1"}
        return {names.get(name, name): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class _Reference:
    """The gallery's features for the judge, moments for the distance, each query's mean image."""

    judged: Float32Array
    pictured: FeatureStatistics
    means: Tensor


@dataclass(frozen=True)
class ViewEvaluator:
    """Measures views of query images.

    Attributes:
        query: Whose people are turned.
        gallery: Real images.
        table: Bodies of the query images.
        judge: Recognises people; must never have seen generated images.
        features: Those of the Frechet distance.
        truth: The true views, where they are known.
        degrees: Turns, [V].
        cache: Folder that keeps the gallery's moments, by what they are of.
        features_name: Of the features, as the cache tells them apart.
    """

    query: LabelledSplit
    gallery: LabelledSplit
    table: BodyTable
    judge: FeatureExtractor
    features: FeatureExtractor
    truth: Truth | None
    degrees: Float32Array
    cache: Path
    features_name: str

    def __call__(self, renderer: ViewRenderer) -> dict[str, ViewScores]:
        """Scores of generated views and of two trivial stand-ins for them, by name.

        Raises:
            UserError: If an image does not decode or has no body.
        """
        shown = list(renderer.views(self.query.images, self.table, self.degrees))
        real = torch.cat([pictures for pictures, _ in shown])
        turns = len(self.degrees)
        reference = self._reference(real)
        ways = {
            "generated": torch.cat([some for _, some in shown]),
            "input": real.unsqueeze(1).expand(-1, turns, -1, -1, -1),
            "mean_of_others": reference.means.unsqueeze(1).expand(-1, turns, -1, -1, -1),
        }
        true, person = self._true(real), self._people(renderer)
        if true is not None:
            ways = {"true": true, **ways}
        return {
            name: self._score(way.flatten(0, 1), true, person, reference)
            for name, way in ways.items()
        }

    def sheet(self, renderer: ViewRenderer) -> Uint8Array:
        """Some queries, a row each: the image, its views, and the true ones where they are known.

        Args:
            renderer: Draws.

        Returns:
            Display colours, [h, w, 3].
        """
        some = replace(self, query=some_queries(self.query, SHOWN))
        drawn = list(renderer.views(some.query.images, some.table, some.degrees))
        real = torch.cat([pictures for pictures, _ in drawn])
        true = some._true(real)
        columns = [real.unsqueeze(1), torch.cat([views for _, views in drawn])]
        return image_grid(torch.cat(columns if true is None else [*columns, true], dim=1))

    def _reference(self, like: Tensor) -> _Reference:
        """What the gallery gives, in one pass over its images."""
        height, width = like.shape[2:]
        pids, places = np.unique(self.query.pids, return_inverse=True)
        sums = torch.zeros(len(pids), 3, height, width)
        cached = self._cached(height, width)
        known_moments = _load_moments(cached)
        judged, pictured = [], []
        for batch in ImageLoader(self.gallery.images, height, width, 2).complete_batches():
            images = to_images(batch.pixels)
            judged.append(self.judge(images).cpu())
            if known_moments is None:
                pictured.append(self.features(images).cpu())
            own = self.gallery.pids[batch.index]
            known = np.isin(own, pids)
            rows = torch.from_numpy(np.searchsorted(pids, own[known]))
            sums.index_add_(0, rows, images[torch.from_numpy(known)])
        counts = torch.from_numpy((self.gallery.pids[:, None] == pids).sum(0)).clamp(min=1)
        means = (sums / counts.view(-1, 1, 1, 1))[torch.from_numpy(places)]
        if known_moments is None:
            known_moments = feature_statistics(torch.cat(pictured).numpy())
            _save_moments(known_moments, cached)
        return _Reference(torch.cat(judged).numpy(), known_moments, means)

    def _cached(self, height: int, width: int) -> Path:
        """Where the moments of these gallery images, features and size are kept."""
        digest = hashlib.sha256(f"{self.features_name} {height} {width}".encode())
        for image in self.gallery.images:
            digest.update(f"{image.key}\0{image.path.stat().st_size}\n".encode())
        return self.cache / f"gallery-{digest.hexdigest()[:16]}.npz"

    def _true(self, like: Tensor) -> Tensor | None:
        """True views [Q, V, 3, H, W]."""
        if self.truth is None:
            return None
        pixels = [
            resize(self.truth(image.key, float(angle)), *like.shape[2:])
            for image in self.query.images
            for angle in self.degrees
        ]
        images = to_images(np.stack(pixels))
        return images.view(len(like), len(self.degrees), *like.shape[1:])

    def _people(self, renderer: ViewRenderer) -> Tensor:
        """Where the turned bodies are, [Q V, H, W]."""
        maps = renderer.maps(self.table)
        keys = [image.key for image in self.query.images for _ in self.degrees]
        degrees = np.tile(self.degrees, len(self.query.images))
        return torch.from_numpy(maps("silhouette", keys, degrees)[:, 0] > 0)

    def _score(
        self, views: Tensor, true: Tensor | None, person: Tensor, reference: _Reference
    ) -> ViewScores:
        """Score views [Q V, 3, H, W] against truth and gallery features."""
        alike: tuple[float | None, float | None, float | None] = (None, None, None)
        if true is not None:
            wanted = true.flatten(0, 1)
            alike = (*likeness(views, wanted), person_psnr(views, wanted, person))
        turns, same = len(self.degrees), same_in_splits(self.query, self.gallery)
        ranking = evaluate_ranking(
            self._encoded(self.judge, views),
            reference.judged,
            np.repeat(self.query.pids, turns),
            self.gallery.pids,
            np.repeat(self.query.camids, turns),
            self.gallery.camids,
            same_image=None if same is None else same[np.repeat(np.arange(same.shape[0]), turns)],
        )
        drawn = feature_statistics(self._encoded(self.features, views))
        frechet = frechet_distance(drawn, reference.pictured)
        return ViewScores(*alike, frechet, ranking.cmc[1], ranking.mean_ap)

    @staticmethod
    def _encoded(encode: FeatureExtractor, images: Tensor) -> Float32Array:
        found = [encode(some).float().cpu() for some in torch.split(images, BATCH_SIZE)]
        features: Float32Array = torch.cat(found).numpy()
        return features


def _load_moments(path: Path) -> FeatureStatistics | None:
    if not path.is_file():
        return None
    file = read_npz(path)
    return FeatureStatistics(file["mean"], file["covariance"])


def _save_moments(found: FeatureStatistics, path: Path) -> None:
    file = io.BytesIO()
    np.savez(file, mean=found.mean, covariance=found.covariance)
    write_bytes(path, file.getvalue())


def some_queries(query: LabelledSplit, count: int) -> LabelledSplit:
    """``count`` of the queries, or all, evenly spread."""
    chosen = evenly_spaced_indices(len(query.images), count)
    return LabelledSplit(tuple(query.images[row] for row in chosen), query.pids[chosen])


def views_table(scores: Mapping[str, ViewScores], distance: str) -> str:
    """Scores as aligned text, a row per way to make views."""
    heads = ("views", "SSIM", "PSNR", "PSNR of person", distance, "rank-1", "mAP")
    rows = []
    for name, found in scores.items():
        alike = ("-", "-", "-")
        if found.ssim is not None:
            alike = (f"{found.ssim:.3f}", f"{found.psnr:.2f}", f"{found.person_psnr:.2f}")
        shares = (f"{100 * share:.1f}" for share in (found.rank1, found.mean_ap))
        rows.append((name, *alike, f"{found.frechet:.4f}", *shares))
    return aligned(heads, rows)
