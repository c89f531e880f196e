"""How much a made picture can be trusted as a positive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from reid_gen.body.estimate.estimator import BodyEstimator, RegressorEstimator
from reid_gen.body.model import load_body
from reid_gen.body.render.structure_maps import BodyMapRenderer
from reid_gen.data.transforms import to_pixels
from reid_gen.evaluation.view_checks import min_difference, overlap
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.positives.sources import PositiveBatch
from reid_gen.types import Float32Array


@dataclass(frozen=True)
class Scores:
    """Of the views of some images.

    Attributes:
        identity: Cosine of a view's feature with its image's, [b, V]; None without an encoder.
        structure: Overlap of the body that is seen in a view with the one that was asked for,
            [b, V] in 0..1; None if none was.
        difference: From the image and from the views before it, [b, V] in 0..1; 0 is a copy.
    """

    identity: Float32Array | None
    structure: Float32Array | None
    difference: Float32Array


@dataclass(frozen=True)
class Scorer:
    """Scores made pictures.

    Attributes:
        encode: Recognises people: the encoder that pictures are made for; None if there is none.
        structure: Sees bodies; None if bodies have no say.
    """

    encode: FeatureExtractor | None
    structure: SilhouetteScorer | None

    def __call__(self, keys: Sequence[str], made: PositiveBatch) -> Scores:
        """Scores of views of the images of ``keys``, [b]."""
        identity = structure = None
        if self.encode is not None:
            own, drawn = self.encode(made.pictures), self.encode(made.views.flatten(0, 1))
            cosine = (own[:, None] * drawn.view(*made.views.shape[:2], -1)).sum(-1)
            identity = cosine.float().cpu().numpy()
        if self.structure is not None and made.degrees is not None:
            structure = self.structure(keys, made.degrees, made.views)
        return Scores(identity, structure, min_difference(made.pictures, made.views))


class SilhouetteScorer:
    """Compares the body that is seen in a picture with the one that was asked for.

    Args:
        asked: Silhouettes of the bodies that are asked for.
        recovery: Sees bodies.
    """

    def __init__(self, asked: BodyMapRenderer, recovery: BodyEstimator | None = None) -> None:
        self.asked = asked
        self.recovery = recovery or RegressorEstimator()
        self.own = load_body(None)

    def __call__(self, keys: Sequence[str], degrees: Float32Array, views: Tensor) -> Float32Array:
        """Overlap of silhouettes (intersection over union) [b, V] of views [b, V, 3, H, W]."""
        count, members = degrees.shape
        every = [key for key in keys for _ in range(members)]
        wanted = self.asked("silhouette", every, degrees.ravel()) > 0
        size = self.recovery.height, self.recovery.width
        shown = F.interpolate(views.flatten(0, 1), size, mode="bilinear", antialias=True)
        pixels = to_pixels(shown)
        names = tuple(str(n) for n in range(len(every)))
        seen = BodyMapRenderer(
            self.recovery(names, pixels),
            self.own,
            self.asked.height,
            self.asked.width,
            self.asked.rasteriser,
        )
        found = seen("silhouette", names, np.zeros(len(names), np.float32)) > 0
        return overlap(found, wanted).reshape(count, members)
