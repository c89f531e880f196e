"""The encoder of another run, for images of any size."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from reid_gen.models.checkpoint import load_encoder
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.runtime.devices import Runtime


def load_judge(run: Path, runtime: Runtime) -> tuple[FeatureExtractor, int]:
    """What encodes as a run does, after resizing images to what it learnt from; and D.

    Raises:
        UserError: If there is no such run.
    """
    encoder, card = load_encoder(run)
    plain = runtime.encoder(encoder)
    size = (card.height, card.width)

    def encode(images: Tensor) -> Tensor:
        if tuple(images.shape[2:]) != size:
            images = F.interpolate(images, size, mode="bicubic", antialias=True)
        return plain(images)

    return encode, encoder.feature_size
