"""Reference encoder: the frozen encoder of another run, which scores the identity of views."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from reid_gen.models.checkpoint import load_encoder
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.runtime.devices import Runtime


def load_reference_encoder(run: Path, runtime: Runtime) -> tuple[FeatureExtractor, int]:
    """Load the encoder of a run, with bicubic resizing of images to its input size.

    Args:
        run: Run folder, checkpoint or name of a model in the zoo.
        runtime: Device and precision of the encoder.

    Returns:
        Function that maps images [B, 3, H, W] in 0..1, of any size, to features [B, D], and D.

    Raises:
        UserError: If the run does not exist.
    """
    encoder, card = load_encoder(run)
    encode_resized = runtime.encoder(encoder)
    size = (card.height, card.width)

    def encode(images: Tensor) -> Tensor:
        if tuple(images.shape[2:]) != size:
            images = F.interpolate(images, size, mode="bicubic", antialias=True)
        return encode_resized(images)

    return encode, encoder.feature_size
