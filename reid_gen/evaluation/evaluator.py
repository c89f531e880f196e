"""Evaluation of an encoder on a query and a gallery split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from scipy import sparse

from reid_gen.data.loaders import ImageLoader
from reid_gen.data.same_image import same_in_splits
from reid_gen.evaluation.features import extract_features
from reid_gen.evaluation.ranking import (
    RankingResult,
    evaluate_blocks,
    evaluate_distances,
    evaluate_ranking,
)
from reid_gen.evaluation.rerank import VARIANT, RerankedDistances
from reid_gen.evaluation.temporal import VARIANT as TEMPORAL
from reid_gen.evaluation.temporal import capture_times, joint_distances, travel_times
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.runtime.progress import Progress
from reid_gen.types import Float32Array, Image, Int64Array, LabelledSplit

MakeLoader = Callable[[LabelledSplit], ImageLoader]


@dataclass(frozen=True)
class Evaluator:
    """Evaluates an encoder with the Market-1501 protocol.

    Attributes:
        query: Query split.
        gallery: Gallery split.
        make_loader: Builds the image loader of a split.
        batch: Number of images per forward pass.
        flip: Whether to average each feature with the feature of the mirrored image.
        rerank: Whether to score k-reciprocal re-ranking as well.
        progress: Progress display.
        keep_same_image: Whether a query may match its own image in the gallery.
    """

    query: LabelledSplit
    gallery: LabelledSplit
    make_loader: MakeLoader
    batch: int
    flip: bool
    rerank: bool
    progress: Progress
    keep_same_image: bool = False

    @cached_property
    def same_image(self) -> sparse.csr_matrix | None:
        """Mask [Q, G] of gallery images identical to the query, which rankings leave out.

        None if there are no such pairs, or if they are to stay in the rankings.

        Raises:
            UserError: If a file cannot be read.
        """
        return None if self.keep_same_image else same_in_splits(self.query, self.gallery)

    def __call__(self, encode: FeatureExtractor) -> tuple[RankingResult, ...]:
        """Extract features of both splits and score them.

        Raises:
            UserError: If images do not decode, or no query has a match.
        """
        return self.score(*self.features(encode))

    def features(self, encode: FeatureExtractor) -> tuple[Float32Array, Float32Array]:
        """Extract the features of query [Q, D] and gallery [G, D].

        Raises:
            UserError: If images do not decode.
        """
        return self._features(self.query, encode), self._features(self.gallery, encode)

    def score(self, query: Float32Array, gallery: Float32Array) -> tuple[RankingResult, ...]:
        """Score features [Q, D] and [G, D] by cosine similarity, then with re-ranking if enabled.

        Raises:
            UserError: If no query has a match.
        """
        results = [self.score_variant("none", query, gallery)]
        if self.rerank:
            results.append(
                evaluate_blocks(
                    RerankedDistances(query, gallery),
                    *self._labels,
                    same_image=self.same_image,
                    reranking=VARIANT,
                )
            )
        return tuple(results)

    def score_variant(self, name: str, query: Float32Array, gallery: Float32Array) -> RankingResult:
        """Score post-processed features by cosine similarity, under the name of the variant.

        Args:
            name: Name of the variant in the results.
            query: Query features, [Q, D].
            gallery: Gallery features, [G, D].

        Raises:
            UserError: If no query has a match.
        """
        labels, same_image = self._labels, self.same_image
        return evaluate_ranking(query, gallery, *labels, same_image=same_image, reranking=name)

    def score_with_time(
        self, query: Float32Array, gallery: Float32Array, train: Sequence[Image], labels: Int64Array
    ) -> RankingResult:
        """Score appearance fused with the likelihood of travel times between cameras (JVTC+).

        Args:
            query: Query features, [Q, D].
            gallery: Gallery features, [G, D].
            train: Training images, N of them.
            labels: Pseudo labels of the training images, [N]; the travel times of their clusters
                give the likelihood.

        Raises:
            UserError: If an image has no camera or frame number.
        """
        query_times = capture_times(self.query.images)
        gallery_times = capture_times(self.gallery.images)
        train_times = capture_times(train)
        splits = (query_times, gallery_times, train_times)
        cameras = 1 + max(int(times.camids.max()) for times in splits)
        likelihood = travel_times(train_times, labels, cameras)
        distances = joint_distances(query, gallery, query_times, gallery_times, likelihood)
        return evaluate_distances(
            distances, *self._labels, same_image=self.same_image, reranking=TEMPORAL
        )

    @property
    def _labels(self) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
        """Pids of query and gallery, then camids of query and gallery."""
        return self.query.pids, self.gallery.pids, self.query.camids, self.gallery.camids

    def _features(self, split: LabelledSplit, encode: FeatureExtractor) -> Float32Array:
        loader = self.make_loader(split)
        with self.progress.task("evaluate: extract", len(split.images)) as advance:
            extracted = extract_features(
                encode, loader, batch=self.batch, flip=self.flip, advance=advance
            )
        return extracted.complete()
