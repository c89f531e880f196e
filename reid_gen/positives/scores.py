"""Quality scores of generated positives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from reid_gen.body.estimate.estimator import BodyEstimator, RegressorEstimator
from reid_gen.body.model import load_body
from reid_gen.body.render.body_maps import BodyMapRenderer
from reid_gen.data.transforms import to_pixels
from reid_gen.evaluation.view_checks import mask_iou, min_difference
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.positives.sources import PositiveBatch
from reid_gen.types import Float32Array


@dataclass(frozen=True)
class Scores:
    """Scores of V views of each of b images.

    Attributes:
        identity: Cosine similarity of a view's feature and its source image's, [b, V]; None without
            an encoder.
        structure: IoU of the silhouette estimated from a view with the requested one, [b, V] in
            0..1; None without bodies.
        difference: Smallest difference from the source image and from earlier views, [b, V] in
            0..1; 0 is a copy.
    """

    identity: Float32Array | None
    structure: Float32Array | None
    difference: Float32Array


@dataclass(frozen=True)
class Scorer:
    """Scores generated positives.

    Attributes:
        encode: Reference encoder for identity scores; None computes none.
        structure: Scorer of silhouettes; None computes no structure scores.
    """

    encode: FeatureExtractor | None
    structure: SilhouetteScorer | None

    def __call__(self, keys: Sequence[str], batch: PositiveBatch) -> Scores:
        """Score the views of the images with keys [b]."""
        identity = structure = None
        if self.encode is not None:
            image_features = self.encode(batch.images)  # [b, D]
            view_features = self.encode(batch.views.flatten(0, 1))  # [b V, D]
            view_features = view_features.view(*batch.views.shape[:2], -1)
            cosine = (image_features[:, None] * view_features).sum(-1)
            identity = cosine.float().cpu().numpy()
        if self.structure is not None and batch.degrees is not None:
            structure = self.structure(keys, batch.degrees, batch.views)
        return Scores(identity, structure, min_difference(batch.images, batch.views))


class SilhouetteScorer:
    """Compares the silhouette of the body estimated from a view with that of the requested body.

    Args:
        requested: Renderer of the requested bodies.
        estimator: Body estimator; None takes the built-in one.
    """

    def __init__(self, requested: BodyMapRenderer, estimator: BodyEstimator | None = None) -> None:
        self.requested = requested
        self.estimator = estimator or RegressorEstimator()
        self.body_model = load_body(None)

    def __call__(self, keys: Sequence[str], degrees: Float32Array, views: Tensor) -> Float32Array:
        """Compute the IoU [b, V] of the silhouettes of views [b, V, 3, H, W].

        Args:
            keys: Keys of the source images, [b].
            degrees: Requested rotation of the body in each view, [b, V].
            views: The views in 0..1.
        """
        count, members = degrees.shape
        view_keys = [key for key in keys for _ in range(members)]
        expected = self.requested("silhouette", view_keys, degrees.ravel()) > 0
        size = self.estimator.height, self.estimator.width
        resized = F.interpolate(views.flatten(0, 1), size, mode="bilinear", antialias=True)
        names = tuple(str(n) for n in range(len(view_keys)))
        estimated = BodyMapRenderer(
            self.estimator(names, to_pixels(resized)),
            self.body_model,
            self.requested.height,
            self.requested.width,
            self.requested.rasteriser,
        )
        actual = estimated("silhouette", names, np.zeros(len(names), np.float32)) > 0
        return mask_iou(actual, expected).reshape(count, members)
