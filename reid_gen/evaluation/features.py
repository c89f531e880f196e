"""Features of a list of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from reid_gen.data.images import UnreadableImage, unreadable_error
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.transforms import to_images
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.runtime.progress import Advance
from reid_gen.types import Float32Array


@dataclass(frozen=True)
class Extracted:
    """Features in the order of the images.

    Attributes:
        features: Unit rows, [N, D] float32; a row of an unreadable image means nothing.
        failures: The images that do not decode.
    """

    features: Float32Array
    failures: tuple[UnreadableImage, ...]

    def complete(self) -> Float32Array:
        """The features, if every image decoded.

        Raises:
            UserError: Listing every image that does not decode by its path.
        """
        if self.failures:
            raise unreadable_error(list(self.failures))
        return self.features


@torch.no_grad()
def extract_features(
    encode: FeatureExtractor,
    loader: ImageLoader,
    *,
    batch: int,
    flip: bool = False,
    advance: Advance | None = None,
) -> Extracted:
    """FeatureExtractor all images of a loader.

    Args:
        encode: The encoder.
        loader: The images.
        batch: Images per pass.
        flip: Average the feature with that of the mirrored image, and normalise again.
        advance: Told about progress.

    Returns:
        Features [N, D], and what could not be read.
    """
    blocks: list[Float32Array] = []
    failures: list[UnreadableImage] = []
    for decoded in loader.in_order(batch):
        images = to_images(decoded.pixels)
        feature = encode(images)
        if flip:
            feature = F.normalize(feature + encode(images.flip(3)), dim=1)
        blocks.append(feature.float().cpu().numpy())
        failures.extend(decoded.failures)
        if advance:
            advance(len(decoded.index))
    return Extracted(np.concatenate(blocks), tuple(failures))
