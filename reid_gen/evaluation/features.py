"""Feature extraction from the images of a loader."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reid_gen.data.images import UnreadableImage, unreadable_error
from reid_gen.data.loaders import ImageLoader
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.runtime.memory import memory_errors
from reid_gen.runtime.progress import Advance
from reid_gen.types import Float32Array


@dataclass(frozen=True)
class ExtractedFeatures:
    """Features in the order of the images.

    Attributes:
        features: L2-normalised features, [N, D] float32; rows of unreadable images are undefined.
        failures: Images that do not decode.
    """

    features: Float32Array
    failures: tuple[UnreadableImage, ...]

    def complete(self) -> Float32Array:
        """Return the features if every image decoded.

        Raises:
            UserError: If images do not decode; the message lists their paths.
        """
        if self.failures:
            raise unreadable_error(list(self.failures))
        return self.features


@memory_errors(
    "feature extraction",
    "lower the number of images per forward pass: evaluation.batch, in config.yaml also before a "
    "run is resumed, or --batch of a command",
)
@torch.inference_mode()
def extract_features(
    encode: FeatureExtractor,
    loader: ImageLoader,
    *,
    batch: int,
    flip: bool = False,
    advance: Advance | None = None,
) -> ExtractedFeatures:
    """Encode all images of a loader.

    Args:
        encode: Encoder that maps images [B, 3, H, W], uint8 in 0..255, to L2-normalised features
            [B, D].
        loader: Loader of the N images.
        batch: Number of images per forward pass.
        flip: Whether to add the feature of the mirrored image and normalise the sum.
        advance: Progress callback, called with the number of images after each batch.

    Returns:
        Features [N, D] and the images that could not be read.
    """
    blocks: list[Float32Array] = []
    failures: list[UnreadableImage] = []
    unread: Tensor | None = None
    for decoded in loader.in_order(batch):
        images = torch.from_numpy(decoded.pixels).permute(0, 3, 1, 2)
        feature = encode(images)
        if flip:
            feature = F.normalize(feature + encode(images.flip(3)), dim=1)
        # Reading a batch waits for the device, so the next one is queued before it is read.
        if unread is not None:
            blocks.append(unread.cpu().numpy())
        unread = feature.float()
        failures.extend(decoded.failures)
        if advance:
            advance(len(decoded.index))
    assert unread is not None
    blocks.append(unread.cpu().numpy())
    return ExtractedFeatures(np.concatenate(blocks), tuple(failures))
