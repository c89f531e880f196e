"""Query against gallery with an encoder."""

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
from reid_gen.evaluation.rerank import VARIANT, Reranked
from reid_gen.evaluation.temporal import VARIANT as TEMPORAL
from reid_gen.evaluation.temporal import capture_times, joint_distances, travel_times
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.runtime.progress import Progress
from reid_gen.types import Float32Array, Image, Int64Array, LabelledSplit

MakeLoader = Callable[[LabelledSplit], ImageLoader]


@dataclass(frozen=True)
class Evaluator:
    """Measures an encoder by the Market-1501 protocol.

    Attributes:
        query: Query split.
        gallery: Gallery split.
        make_loader: Opens a split.
        batch: Images per pass.
        flip: Average every feature with that of the mirrored image.
        reranked: Measure k-reciprocal re-ranking too.
        progress: Display.
        keep_same_image: Let a query find its own image in the gallery, too.
    """

    query: LabelledSplit
    gallery: LabelledSplit
    make_loader: MakeLoader
    batch: int
    flip: bool
    reranked: bool
    progress: Progress
    keep_same_image: bool = False

    @cached_property
    def same_image(self) -> sparse.csr_matrix | None:
        """Where query and gallery hold one image, which is left out, [Q, G]; None if nowhere.

        Raises:
            UserError: If a file cannot be read.
        """
        return None if self.keep_same_image else same_in_splits(self.query, self.gallery)

    def __call__(self, encode: FeatureExtractor) -> tuple[RankingResult, ...]:
        """Extract and score.

        Raises:
            UserError: If images do not decode, or no query has a match.
        """
        return self.score(*self.features(encode))

    def features(self, encode: FeatureExtractor) -> tuple[Float32Array, Float32Array]:
        """Features of query [Q, D] and gallery [G, D].

        Raises:
            UserError: If images do not decode.
        """
        return self._features(self.query, encode), self._features(self.gallery, encode)

    def score(self, query: Float32Array, gallery: Float32Array) -> tuple[RankingResult, ...]:
        """Scores of features [Q, D] and [G, D], and, if asked for, those with re-ranking.

        Raises:
            UserError: If no query has a match.
        """
        results = [self.score_as("none", query, gallery)]
        if self.reranked:
            results.append(
                evaluate_blocks(
                    Reranked(query, gallery),
                    *self._labels,
                    same_image=self.same_image,
                    reranking=VARIANT,
                )
            )
        return tuple(results)

    def score_as(self, name: str, query: Float32Array, gallery: Float32Array) -> RankingResult:
        """Scores of features [Q, D] and [G, D] that something was done to.

        Raises:
            UserError: If no query has a match.
        """
        labels, same_image = self._labels, self.same_image
        return evaluate_ranking(query, gallery, *labels, same_image=same_image, reranking=name)

    def score_with_time(
        self, query: Float32Array, gallery: Float32Array, train: Sequence[Image], labels: Int64Array
    ) -> RankingResult:
        """Scores by features [Q, D] and [G, D] and by the times at which people are likely to pass.

        Args:
            query: Features.
            gallery: Features.
            train: Training images.
            labels: Their pseudo labels, from which times of travel between cameras are learnt, [N].

        Raises:
            UserError: If an image has no camera or frame.
        """
        asked, kept = (capture_times(split.images) for split in (self.query, self.gallery))
        known = capture_times(train)
        cameras = 1 + max(int(some.camids.max()) for some in (asked, kept, known))
        likelihood = travel_times(known, labels, cameras)
        distances = joint_distances(query, gallery, asked, kept, likelihood)
        return evaluate_distances(
            distances, *self._labels, same_image=self.same_image, reranking=TEMPORAL
        )

    @property
    def _labels(self) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
        """What a ranking is measured by."""
        return self.query.pids, self.gallery.pids, self.query.camids, self.gallery.camids

    def _features(self, split: LabelledSplit, encode: FeatureExtractor) -> Float32Array:
        loader = self.make_loader(split)
        with self.progress.task("evaluate: extract", len(split.images)) as advance:
            found = extract_features(
                encode, loader, batch=self.batch, flip=self.flip, advance=advance
            )
        return found.complete()
